//! The codec gives back what it was given, and takes any bytes.

use proptest::prelude::*;
use tollgate_domain::attempt::Attempt;

use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just(Arc::from("")),
        "[a-z0-9-]{1,20}".prop_map(Arc::from),
        "\\PC{0,12}".prop_map(Arc::from),
    ]
}

fn maybe<T: std::fmt::Debug>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(inner)
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..1_000_u64, any::<u64>()]
}

prop_compose! {
    fn names()(
        texts in prop::array::uniform7(text()),
        options in prop::array::uniform6(maybe(text())),
        tags in prop::collection::vec((text(), text()), 0..5),
        own in any::<bool>(),
    ) -> ([Arc<str>; 7], [Option<Arc<str>>; 6], Vec<(Arc<str>, Arc<str>)>, bool) {
        (texts, options, tags, own)
    }
}

prop_compose! {
    fn any_attempt()(
        (provider, model, error_type) in (text(), text(), maybe(text())),
        (status, billing) in (maybe(any::<u16>()), 0_u8..3),
        (cost, latency_us) in (any::<i64>(), count()),
    ) -> Attempt {
        Attempt {
            provider, model, status, error_type,
            billing: codes::billing_from(billing).unwrap(),
            cost: NanoUsd::from_nanos(cost),
            latency_us,
        }
    }
}

prop_compose! {
    /// Any record at all.
    pub(crate) fn any_record()(
        (texts, options, tags, own) in names(),
        (id, micros) in (any::<[u8; 16]>(), -1_000_000_000_000_000_i64..10_000_000_000_000_000),
        (dialect, outcome, cache) in (0_u8..3, 0_u8..5, 0_u8..4),
        (status, attempts, stream, estimated) in any::<(u16, u16, bool, bool)>(),
        counts in prop::collection::vec(count(), COUNTS),
        (cost, provider_cost) in (any::<i64>(), maybe(any::<i64>())),
        (latency_us, ttft_us) in (count(), maybe(count())),
        decision in maybe(prop::collection::vec(any::<u8>(), 0..40)),
        tries in prop::collection::vec(any_attempt(), 0..4),
        (saved, repetition) in (prop_oneof![Just(0), any::<i64>()], maybe(any::<[u8; 32]>())),
    ) -> CallRecord {
        let [request_id, user, endpoint, provider, model_asked, model, price_version] = texts;
        let [key, team, ip, session, feature, error_type] = options;
        let call_id = CallId::from_bytes(id);
        CallRecord {
            call_id,
            request_id: if own { Arc::from(call_id.to_string()) } else { request_id },
            time: Timestamp::from_microsecond(micros).unwrap(),
            user, key, team, ip, session, feature, tags,
            dialect: codes::dialect_from(dialect).unwrap(),
            endpoint, provider, model_asked, model, stream, status,
            outcome: codes::outcome_from(outcome).unwrap(),
            error_type, attempts,
            cache: codes::cache_from(cache).unwrap(),
            usage: from_counts(counts.try_into().unwrap()),
            cost: NanoUsd::from_nanos(cost),
            provider_cost: provider_cost.map(NanoUsd::from_nanos),
            saved: NanoUsd::from_nanos(saved),
            repetition: repetition.and_then(|bytes| Repetition::from_bytes(&bytes)),
            price_version, estimated, latency_us, ttft_us,
            trace: None,
            decision: decision.map(|bytes| Decision::from_bytes(&bytes)),
            tries,
        }
    }
}

proptest! {
    #[test]
    fn a_record_reads_back_as_it_was(record in any_record()) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        prop_assert_eq!(call_id(&bytes), Some(record.call_id));
        prop_assert_eq!(decode(&bytes), Some(record));
    }

    #[test]
    fn a_cut_or_lengthened_record_is_not_one(record in any_record(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), None);
        bytes.push(0);
        prop_assert_eq!(decode(&bytes), None);
    }

    #[test]
    fn any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut formatted = vec![FORMAT];
        formatted.extend_from_slice(&bytes);
        for input in [&bytes, &formatted] {
            if let Some(record) = decode(input) {
                let mut again = Vec::new();
                encode(&record, &mut again);
                prop_assert_eq!(decode(&again), Some(record));
            }
        }
    }
}

#[test]
fn a_plain_call_takes_less_than_two_hundred_bytes() {
    let mut bytes = Vec::new();
    encode(&crate::fold::tests::record(1), &mut bytes);
    assert!(bytes.len() < 200, "{}", bytes.len());
}
