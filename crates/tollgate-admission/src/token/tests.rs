//! Tokens are made here by hand, with `aws-lc-rs` and no JWT library, so that the verifier is not
//! tested against its own idea of a token.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a shared secret of more than 32 bytes";
const NOW: i64 = 1_800_000_000;

enum Signer {
    Hs(Vec<u8>),
    Rs(RsaKeyPair),
    Es(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs(SECRET.to_vec()),
            Algorithm::Rs256 => Self::Rs(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
            Algorithm::Es256 => {
                Self::Es(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            Algorithm::EdDsa => Self::Ed(Ed25519KeyPair::generate().unwrap()),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Hs(key) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
            }
            Self::Rs(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Es(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn pem(&self) -> String {
        let der = match self {
            Self::Hs(_) => panic!("a secret has no public key"),
            Self::Rs(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Es(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
        };
        let text = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn jwk(&self, id: &str) -> Value {
        let code = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Hs(key) => json!({"kty": "oct", "kid": id, "k": code(key)}),
            Self::Rs(key) => {
                let n = key.public_key().modulus().big_endian_without_leading_zero().to_vec();
                let e = key.public_key().exponent().big_endian_without_leading_zero().to_vec();
                json!({"kty": "RSA", "use": "sig", "kid": id, "n": code(&n), "e": code(&e)})
            }
            Self::Es(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": code(x), "y": code(y)})
            }
            Self::Ed(key) => {
                let x = code(key.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": x})
            }
        }
    }

    fn keys(&self, algorithm: Algorithm) -> KeySet {
        match self {
            Self::Hs(key) => KeySet::secret(key).unwrap(),
            _ => KeySet::pem(algorithm, self.pem().as_bytes()).unwrap(),
        }
    }

    /// A token with exactly these texts as header and claims.
    fn raw(&self, header: &str, claims: &str) -> String {
        let code = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", code(header), code(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn token(&self, algorithm: Algorithm, claims: &Value) -> String {
        let header = json!({"alg": algorithm.as_str(), "typ": "JWT"});
        self.raw(&header.to_string(), &claims.to_string())
    }
}

fn rules(algorithm: Algorithm) -> TokenRules {
    TokenRules {
        algorithm,
        user_claim: "sub".into(),
        plan_claim: "plan".into(),
        issuer: Some("https://id.example".into()),
        audience: Some("tollgate".into()),
    }
}

fn good() -> Value {
    json!({"sub": "alice", "plan": "pro", "iss": "https://id.example", "aud": ["web", "tollgate"],
           "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300})
}

/// The good claims with some of them replaced, or removed where null.
fn but(change: &Value) -> Value {
    let mut claims = good();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn hs() -> (Signer, TokenVerifier) {
    let signer = Signer::of(Algorithm::Hs256);
    let verifier = TokenVerifier::new(rules(Algorithm::Hs256), Some(signer.keys(Algorithm::Hs256)));
    (signer, verifier)
}

const ALL: [Algorithm; 4] =
    [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

#[test]
fn a_good_token_of_each_algorithm_says_who_calls_and_a_touched_one_does_not() {
    for algorithm in ALL {
        let signer = Signer::of(algorithm);
        let verifier = TokenVerifier::new(rules(algorithm), Some(signer.keys(algorithm)));
        let token = signer.token(algorithm, &good());
        let claims = verifier.verify(token.as_bytes(), at(NOW)).unwrap();
        assert_eq!(claims, Claims { user: "alice".into(), plan: Some("pro".into()) });
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[0] ^= 1;
        let touched = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let empty = format!("{message}.");
        let other = Signer::of(algorithm);
        let stranger = match algorithm {
            Algorithm::Hs256 => Signer::Hs(b"another secret".to_vec()).token(algorithm, &good()),
            _ => other.token(algorithm, &good()),
        };
        for bad in [touched, empty, stranger] {
            let refused = verifier.verify(bad.as_bytes(), at(NOW)).unwrap_err();
            assert_eq!(refused, TokenRejected::Signature, "{algorithm:?}");
        }
    }
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    for algorithm in ALL {
        let signer = Signer::of(algorithm);
        let verifier = TokenVerifier::new(rules(algorithm), Some(signer.keys(algorithm)));
        let refused = |token: &str| verifier.verify(token.as_bytes(), at(NOW)).unwrap_err();
        let claims = good().to_string();
        for alg in ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS512", "PS256"] {
            let header = json!({"alg": alg}).to_string();
            let signed = signer.raw(&header, &claims);
            assert_eq!(refused(&signed), TokenRejected::Algorithm, "{alg}");
            let bare = signed.rsplit_once('.').unwrap().0.to_owned() + ".";
            assert_eq!(refused(&bare), TokenRejected::Algorithm, "{alg}");
        }
        if algorithm == Algorithm::Hs256 {
            continue;
        }
        // The public key is known to everybody; it must never serve as a shared secret.
        let pem = signer.pem();
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), b""] {
            let forger = Signer::Hs(secret.to_vec());
            let token = forger.token(Algorithm::Hs256, &good());
            assert_eq!(refused(&token), TokenRejected::Algorithm);
            let posing = forger.token(algorithm, &good());
            assert_eq!(refused(&posing), TokenRejected::Signature);
        }
    }
}

#[test]
fn claims_that_do_not_hold_are_refused() {
    use TokenRejected as No;
    let (signer, verifier) = hs();
    let long = "x".repeat(MAX_USER + 1);
    let table = [
        (json!({"exp": null}), No::Claim("exp")),
        (json!({"exp": "1900000000"}), No::Claim("exp")),
        (json!({"exp": 1e300}), No::Claim("exp")),
        (json!({"exp": [NOW + 300]}), No::Claim("exp")),
        (json!({"exp": NOW - LEEWAY}), No::Expired),
        (json!({"exp": -5}), No::Expired),
        (json!({"exp": i64::MIN}), No::Expired),
        (json!({"nbf": NOW + LEEWAY + 1}), No::NotYet),
        (json!({"nbf": "soon"}), No::Claim("nbf")),
        (json!({"iat": NOW + LEEWAY + 1}), No::NotYet),
        (json!({"iat": true}), No::Claim("iat")),
        (json!({"iss": null}), No::Issuer),
        (json!({"iss": "https://id.example.evil"}), No::Issuer),
        (json!({"iss": ["https://id.example"]}), No::Issuer),
        (json!({"aud": null}), No::Audience),
        (json!({"aud": "tollgate2"}), No::Audience),
        (json!({"aud": ["web", ["tollgate"]]}), No::Audience),
        (json!({"sub": null}), No::User),
        (json!({"sub": ""}), No::User),
        (json!({"sub": 7}), No::User),
        (json!({"sub": ["alice"]}), No::User),
        (json!({"sub": {"id": "alice"}}), No::User),
        (json!({"sub": " alice"}), No::User),
        (json!({"sub": "al\nice"}), No::User),
        (json!({"sub": "al\u{0}ice"}), No::User),
        (json!({"sub": "guest:10.0.0.1"}), No::User),
        (json!({"sub": long}), No::User),
        (json!({"plan": 3}), No::Claim("plan")),
        (json!({"sub": "x".repeat(MAX_TOKEN)}), No::TooLong),
    ];
    for (change, why) in table {
        let token = signer.token(Algorithm::Hs256, &but(&change));
        let refused = verifier.verify(token.as_bytes(), at(NOW)).unwrap_err();
        assert_eq!(refused, why, "{:.80}", change.to_string());
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}

#[test]
fn claims_at_the_edge_hold() {
    let (signer, verifier) = hs();
    let name = "가".repeat(MAX_USER / 3);
    for change in [
        json!({"exp": NOW - LEEWAY + 1}),
        json!({"exp": 1_800_000_100.75}),
        json!({"exp": i64::MAX}),
        json!({"nbf": NOW + LEEWAY, "iat": NOW + LEEWAY}),
        json!({"nbf": null, "iat": null}),
        json!({"aud": "tollgate"}),
        json!({"sub": name}),
        json!({"plan": null}),
    ] {
        let token = signer.token(Algorithm::Hs256, &but(&change));
        assert!(verifier.verify(token.as_bytes(), at(NOW)).is_ok(), "{change}");
    }
    let open = TokenRules { issuer: None, audience: None, ..rules(Algorithm::Hs256) };
    let verifier = TokenVerifier::new(open, Some(signer.keys(Algorithm::Hs256)));
    let token = signer.token(Algorithm::Hs256, &but(&json!({"iss": null, "aud": "else"})));
    assert!(verifier.verify(token.as_bytes(), at(NOW)).is_ok());
}

#[test]
fn what_is_ambiguous_or_no_token_is_refused() {
    let (signer, verifier) = hs();
    let header = r#"{"alg":"HS256"}"#;
    let claims = good().to_string();
    let twice = claims.replacen('{', r#"{"sub":"mallory","#, 1);
    let trailing = format!("{claims} {{}}");
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    let table = [
        (signer.raw(header, &twice), TokenRejected::Malformed),
        (signer.raw(header, &trailing), TokenRejected::Malformed),
        (signer.raw(header, "[]"), TokenRejected::Malformed),
        (signer.raw(header, "null"), TokenRejected::Malformed),
        (signer.raw(header, &deep), TokenRejected::TooLong),
        (signer.raw(header, deep.get(..2_000).unwrap()), TokenRejected::Malformed),
        (signer.raw(r#"{"alg":"HS256","alg":"none"}"#, &claims), TokenRejected::Malformed),
        (signer.raw(r#"{"alg":["HS256"]}"#, &claims), TokenRejected::Malformed),
        (signer.raw(r#"{"alg":null}"#, &claims), TokenRejected::Malformed),
        (signer.raw("{}", &claims), TokenRejected::Malformed),
        (signer.raw(r#"{"alg":"HS256","kid":7}"#, &claims), TokenRejected::Malformed),
        (
            signer.raw(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims),
            TokenRejected::Critical,
        ),
        (signer.raw(r#"{"alg":"HS256","crit":[]}"#, &claims), TokenRejected::Critical),
        (signer.raw(header, &claims) + "=", TokenRejected::Signature),
        ("..".to_owned(), TokenRejected::Malformed),
        ("eyJ.eyJ.x".to_owned(), TokenRejected::Malformed),
        ("e30.e30".to_owned(), TokenRejected::Malformed),
        ("é.é.é".to_owned(), TokenRejected::Malformed),
        (String::new(), TokenRejected::Malformed),
    ];
    for (token, why) in table {
        let refused = verifier.verify(token.as_bytes(), at(NOW)).unwrap_err();
        assert_eq!(refused, why, "{token:.120}");
    }
    assert_eq!(verifier.verify(b"\xff.\xff.\xff", at(NOW)), Err(TokenRejected::Malformed));
}

#[test]
fn a_remembered_token_ends_with_its_time_and_with_its_keys() {
    let (signer, verifier) = hs();
    let token = signer.token(Algorithm::Hs256, &good());
    let verify = |second| verifier.verify(token.as_bytes(), at(second)).map(|claims| claims.user);
    for second in [NOW, NOW + 1, NOW + 300 + LEEWAY - 1] {
        assert_eq!(&*verify(second).unwrap(), "alice");
    }
    assert_eq!(verify(NOW + 300 + LEEWAY).unwrap_err(), TokenRejected::Expired);
    assert!(!verifier.set_keys(signer.keys(Algorithm::Hs256)), "the same keys are no change");
    assert!(verify(NOW).is_ok());
    assert!(verifier.set_keys(KeySet::secret(b"another secret").unwrap()));
    assert_eq!(verify(NOW).unwrap_err(), TokenRejected::Signature);
    assert!(verifier.set_keys(signer.keys(Algorithm::Hs256)));
    assert!(verify(NOW).is_ok());
}

#[test]
fn published_keys_are_found_by_id_and_an_unknown_id_asks_for_them_again() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let (old, new) = (Signer::of(algorithm), Signer::of(algorithm));
        let set = |keys: &[Value]| {
            KeySet::parse(algorithm, json!({"keys": keys}).to_string().as_bytes()).unwrap()
        };
        let verifier = TokenVerifier::new(rules(algorithm), None);
        let token = |signer: &Signer, id: &str| {
            let header = json!({"alg": algorithm.as_str(), "kid": id}).to_string();
            signer.raw(&header, &good().to_string())
        };
        let verify = |token: String| verifier.verify(token.as_bytes(), at(NOW)).map(|it| it.user);
        let early = verify(token(&old, "old")).unwrap_err();
        assert_eq!((early, early.code()), (TokenRejected::NoKeys, Code::Degraded));
        verifier.set_keys(set(&[old.jwk("old")]));
        assert!(verifier.take_wanted());
        assert!(verify(token(&old, "old")).is_ok());
        assert!(!verifier.take_wanted());
        assert_eq!(verify(token(&new, "new")).unwrap_err(), TokenRejected::UnknownKey);
        assert!(verifier.take_wanted() && !verifier.take_wanted());
        // A forger who names the right key still has to have it.
        assert_eq!(verify(token(&new, "old")).unwrap_err(), TokenRejected::Signature);
        assert!(!verifier.take_wanted());
        verifier.set_keys(set(&[new.jwk("new"), old.jwk("old")]));
        assert!(verify(token(&new, "new")).is_ok() && verify(token(&old, "old")).is_ok());
        // Without an id a token must leave no choice.
        let plain = |signer: &Signer| signer.token(algorithm, &good());
        assert_eq!(verify(plain(&new)).unwrap_err(), TokenRejected::UnknownKey);
        verifier.set_keys(set(&[new.jwk("new")]));
        assert!(verify(plain(&new)).is_ok());
        assert_eq!(verify(token(&old, "old")).unwrap_err(), TokenRejected::UnknownKey);
    }
}

#[test]
fn of_a_published_set_only_keys_of_the_configured_algorithm_are_taken() {
    let (rs, es, ed) =
        (Signer::of(Algorithm::Rs256), Signer::of(Algorithm::Es256), Signer::of(Algorithm::EdDsa));
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    let odd = [
        Signer::Hs(SECRET.to_vec()).jwk("shared"),
        with(rs.jwk("enc"), "use", json!("enc")),
        with(rs.jwk("other"), "alg", json!("RS512")),
        with(rs.jwk("wraps"), "key_ops", json!(["wrapKey"])),
        with(rs.jwk("weak"), "n", json!("AQAB")),
        with(es.jwk("curve"), "crv", json!("P-384")),
        with(es.jwk("curve"), "crv", json!("secp256k1")),
        with(es.jwk("short"), "x", json!("AQAB")),
        with(ed.jwk("short"), "x", json!("AQAB")),
        with(ed.jwk("not base64"), "x", json!("***")),
        json!({"kty": "new", "kid": "n"}),
        json!(7),
    ];
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let all = json!({"keys": odd}).to_string();
        let refused = KeySet::parse(algorithm, all.as_bytes()).unwrap_err();
        assert_eq!(refused, BadKeys::NoneFits(algorithm));
        let mut keys = odd.to_vec();
        keys.extend([rs.jwk("rs"), es.jwk("es"), ed.jwk("ed")]);
        let set = KeySet::parse(algorithm, json!({"keys": keys}).to_string().as_bytes()).unwrap();
        assert_eq!(set.len(), 1, "{algorithm:?}");
    }
    for bad in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert_eq!(KeySet::parse(Algorithm::Rs256, bad.as_bytes()).unwrap_err(), BadKeys::NotASet);
    }
}

#[test]
fn a_key_file_must_be_a_public_key_of_the_configured_algorithm() {
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let pems: Vec<(Option<Algorithm>, String)> =
        [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
            .map(|algorithm| (Some(algorithm), Signer::of(algorithm).pem()))
            .into_iter()
            .chain([(None, Signer::Es(p384).pem())])
            .collect();
    for (of, pem) in &pems {
        for algorithm in ALL {
            let taken = KeySet::pem(algorithm, pem.as_bytes());
            let fits = *of == Some(algorithm);
            assert_eq!(taken.is_ok(), fits, "{of:?} as {algorithm:?}");
            assert!(fits || taken.unwrap_err() == BadKeys::WrongKind(algorithm));
        }
        for tag in ["PRIVATE KEY", "CERTIFICATE"] {
            let other = pem.replace("PUBLIC KEY", tag);
            let refused = KeySet::pem(Algorithm::Rs256, other.as_bytes()).unwrap_err();
            assert_eq!(refused, BadKeys::NotPublicPem);
        }
    }
    assert_eq!(KeySet::pem(Algorithm::Rs256, b"\xff").unwrap_err(), BadKeys::NotPublicPem);
    assert_eq!(KeySet::secret(b"").unwrap_err(), BadKeys::EmptySecret);
}

#[test]
fn only_three_parts_with_a_json_header_look_like_a_token() {
    for (credential, is) in [
        ("eyJhbGciOiJub25lIn0.e30.", true),
        ("eyJ.e30", false),
        ("eyJ.a.b.c", false),
        ("tg_abc.def.ghi", false),
        ("", false),
    ] {
        assert_eq!(looks_like_token(credential.as_bytes()), is, "{credential}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_panics_or_passes(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        header in "[ -~]{0,80}",
        claims in "[ -~]{0,80}",
    ) {
        let (signer, verifier) = hs();
        prop_assert!(verifier.verify(&bytes, at(NOW)).is_err());
        let signed = signer.raw(&header, &claims);
        prop_assert!(verifier.verify(signed.as_bytes(), at(NOW)).is_err());
        let named = signer.raw(r#"{"alg":"HS256"}"#, &claims);
        prop_assert!(verifier.verify(named.as_bytes(), at(NOW)).is_err());
        let drawn = KeySet::parse(Algorithm::Rs256, &bytes);
        prop_assert!(drawn.is_err());
    }
}
