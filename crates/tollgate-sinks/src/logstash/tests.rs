//! The sink against a receiver that reads lines, with and without TLS, and goes away.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::event::Call;
use crate::sample::{PATIENCE, call, line, no_tls, number};
use crate::worker::{Delivery, Sink as _};

fn sink(listener: &TcpListener) -> Logstash {
    let place = Place::tcp(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    let tls = crate::settings::TlsConfig::default();
    Logstash::new(&LogstashConfig { place, tls }, line, no_tls(), PATIENCE)
}

async fn accepted(listener: &TcpListener) -> BufReader<TcpStream> {
    let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
    BufReader::new(accepted.expect("nobody connects").unwrap().0)
}

async fn read_line(reader: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Value {
    let mut text = String::new();
    reader.read_line(&mut text).await.unwrap();
    assert!(text.ends_with('\n'));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn lines_carry_the_fields_that_logstash_expects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let batch: Vec<Call> = (0..3).map(call).collect();
    let mut sink = sink(&listener);
    assert_eq!(sink.send(&batch).await, Delivery::taken());
    let mut reader = accepted(&listener).await;
    for n in 0..3 {
        let line = read_line(&mut reader).await;
        assert_eq!((&line["@version"], number(&line)), (&Value::from("1"), n));
        assert_eq!(line["@timestamp"], call(n).time.to_string());
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_made_anew_when_the_other_end_closed_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink(&listener);
    assert_eq!(sink.send(&[call(0)]).await, Delivery::taken());
    let mut reader = accepted(&listener).await;
    assert_eq!(sink.send(&[call(1)]).await, Delivery::taken());
    assert_eq!(number(&read_line(&mut reader).await), 0);
    assert_eq!(number(&read_line(&mut reader).await), 1);
    // It has read everything, and goes.
    drop(reader);
    assert_eq!(sink.send(&[call(2)]).await, Delivery::taken());
    let mut reader = accepted(&listener).await;
    assert_eq!(number(&read_line(&mut reader).await), 2, "nothing was lost");
}

#[tokio::test]
async fn while_nobody_listens_lines_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink(&listener);
    drop(listener);
    assert!(matches!(sink.send(&[call(0)]).await, Delivery::Later { .. }));
}

fn data(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// TLS of a server that asks for a certificate which `ca.pem` has signed.
fn acceptor() -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = |name| CertificateDer::from_pem_file(data(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate("server.pem")], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

fn over_tls(listener: &TcpListener, files: &crate::settings::TlsConfig) -> Logstash {
    let port = listener.local_addr().unwrap().port();
    let place = Place::tcp(&format!("tls://localhost:{port}")).unwrap();
    let tls = crate::transport::tls::trust(&no_tls(), files).unwrap();
    let config = LogstashConfig { place, tls: files.clone() };
    Logstash::new(&config, line, tls, PATIENCE)
}

#[tokio::test]
async fn over_tls_the_authority_is_checked_and_a_certificate_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = crate::settings::TlsConfig {
        ca_file: Some(data("ca.pem")),
        cert_file: Some(data("client.pem")),
        key_file: Some(data("client.key")),
    };
    let mut sink = over_tls(&listener, &files);
    let receive = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor().accept(stream).await.unwrap();
        read_line(&mut BufReader::new(stream)).await
    };
    let batch = [call(5)];
    let (delivery, line) = tokio::join!(sink.send(&batch), receive);
    assert_eq!((delivery, number(&line)), (Delivery::taken(), 5));
}

#[tokio::test]
async fn a_server_of_another_authority_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Trusts a certificate that has signed none.
    let files = crate::settings::TlsConfig {
        ca_file: Some(data("client.pem")),
        ..crate::settings::TlsConfig::default()
    };
    let mut sink = over_tls(&listener, &files);
    let receive = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor().accept(stream).await.is_err()
    };
    let batch = [call(5)];
    let (delivery, refused) = tokio::join!(sink.send(&batch), receive);
    assert!(matches!(delivery, Delivery::Later { .. }) && refused, "{delivery:?}");
}
