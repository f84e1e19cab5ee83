//! What limits on tokens and money do: reserve the most, clamp, downgrade, pass in shadow.

use tollgate_admission::engine::{Demand, Grant, Subject};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Window};

use crate::kit::{Desk, demand, limit, plan, success, user};

fn clamping(metric: Metric, max: i64) -> Limit {
    Limit { on_limit: OnLimit::Clamp, ..limit("budget", metric, Window::Day, max) }
}

#[test]
fn a_clamp_lowers_the_output_to_what_the_remainder_affords_and_never_below_use() {
    // Input 100, output up to 50; a token in costs 1 nano-dollar, one out 2.
    for (metric, max, granted) in [
        (Metric::OutputTokens, 50, Ok(50)),
        (Metric::OutputTokens, 49, Ok(49)),
        (Metric::OutputTokens, 10, Ok(10)),
        (Metric::OutputTokens, 9, Err(Code::QuotaExhausted)),
        (Metric::Tokens, 150, Ok(50)),
        (Metric::Tokens, 149, Ok(49)),
        (Metric::Tokens, 109, Err(Code::QuotaExhausted)),
        (Metric::CostUsd, 200, Ok(50)),
        (Metric::CostUsd, 199, Ok(49)),
        (Metric::CostUsd, 121, Ok(10)),
        (Metric::CostUsd, 119, Err(Code::BudgetExhausted)),
        (Metric::CostUsd, 0, Err(Code::BudgetExhausted)),
        // Nothing that lowering the output could change.
        (Metric::InputTokens, 100, Ok(50)),
        (Metric::InputTokens, 99, Err(Code::QuotaExhausted)),
    ] {
        let desk = Desk::new(plan("pro", [clamping(metric, max)]));
        let asked = Demand { min_output: 10, ..demand(100, 50) };
        let answer = desk.admit(&user("alice"), &asked);
        let output = answer.as_ref().map(Grant::output_tokens).map_err(|no| no.code);
        assert_eq!(output, granted, "{metric:?} {max}");
        let (used, reserved, _) = desk.standing("alice", "budget");
        assert!(used + reserved <= max, "{metric:?} {max}: {used} + {reserved}");
        if let Ok(grant) = answer {
            assert_eq!(grant.cost().nanos(), 100 + 2 * i64::try_from(granted.unwrap()).unwrap());
        } else {
            assert_eq!((used, reserved), (0, 0));
        }
    }
}

#[test]
fn what_one_limit_clamps_another_need_not_cover() {
    let deny = limit("tokens", Metric::Tokens, Window::Day, 120);
    let desk = Desk::new(plan("pro", [deny, clamping(Metric::CostUsd, 130)]));
    let grant = desk.admit(&user("alice"), &demand(100, 50)).unwrap();
    assert_eq!(grant.output_tokens(), 15);
    assert_eq!(desk.standing("alice", "tokens"), (0, 115, Some(5)));
    desk.settle(grant, &success(90, 15, 120));
    assert_eq!(desk.standing("alice", "tokens"), (105, 0, Some(15)));
}

#[test]
fn use_above_the_reservation_is_debited_in_full_and_blocks_until_the_window_turns() {
    let desk = Desk::new(plan("pro", [limit("spend", Metric::CostUsd, Window::Day, 1_000)]));
    let grant = desk.admit(&user("alice"), &demand(100, 50)).unwrap();
    assert_eq!(desk.standing("alice", "spend"), (0, 200, Some(800)));
    desk.settle(grant, &success(100, 700, 1_500));
    assert_eq!(desk.standing("alice", "spend"), (1_500, 0, Some(0)));
    let refusal = desk.admit(&user("alice"), &demand(1, 0)).unwrap_err();
    assert_eq!(
        (refusal.balance.used, refusal.balance.max, refusal.balance.asked),
        (1_500, 1_000, 1)
    );
}

#[test]
fn a_free_model_passes_an_exhausted_money_limit_and_nothing_else() {
    let money = limit("spend", Metric::CostUsd, Window::Day, 0);
    let tokens = limit("tokens", Metric::Tokens, Window::Day, 20);
    let desk = Desk::new(plan("pro", [money, tokens]));
    let free = Subject { free: true, ..user("alice") };
    let nothing = Demand { input_tokens: 5, output_tokens: 5, ..Demand::default() };
    assert!(desk.admit(&free, &nothing).is_ok());
    assert_eq!(desk.admit(&user("alice"), &nothing).unwrap_err().code, Code::BudgetExhausted);
    assert!(desk.admit(&free, &nothing).is_ok());
    assert_eq!(desk.admit(&free, &nothing).unwrap_err().code, Code::QuotaExhausted);
}

#[test]
fn a_refusal_tells_the_cheaper_model_and_whether_the_input_bound_decided() {
    let mut spend = limit("spend", Metric::CostUsd, Window::Day, 150);
    spend.on_limit = OnLimit::Downgrade("small".into());
    let desk = Desk::new(plan("pro", [spend, limit("day", Metric::Successes, Window::Day, 1)]));
    let refusal = desk.admit(&user("alice"), &demand(100, 50)).unwrap_err();
    assert_eq!(refusal.downgrade().map(|model| &**model), Some("small"));
    // 100 for the output alone would fit, so counting the input exactly may help.
    assert!(refusal.decided_by_bound);
    // 160 for the output alone would not.
    assert!(!desk.admit(&user("alice"), &demand(10, 80)).unwrap_err().decided_by_bound);
    let _grant = desk.admit(&user("alice"), &demand(10, 10)).unwrap();
    let refusal = desk.admit(&user("alice"), &demand(10, 10)).unwrap_err();
    assert_eq!(&*refusal.limit.name, "day");
    assert!(!refusal.decided_by_bound);
}

#[test]
fn shadow_limits_count_and_report_and_refuse_nothing() {
    let mut shadow = limit("shadow", Metric::Successes, Window::Day, 1);
    shadow.mode = Mode::Shadow;
    let mut soft = limit("soft", Metric::Tokens, Window::Day, 100);
    soft.on_limit = OnLimit::Alert;
    let desk = Desk::new(plan("pro", [shadow, soft]));
    let names = |asked: &Demand| {
        let grant = desk.admit(&user("alice"), asked).unwrap();
        let names: Vec<String> =
            grant.passed().iter().map(|passed| passed.limit.name.to_string()).collect();
        desk.settle(grant, &success(40, 10, 0));
        names
    };
    assert_eq!(names(&demand(40, 10)), [""; 0]);
    assert_eq!(names(&demand(40, 10)), ["shadow"]);
    assert_eq!(names(&demand(40, 10)), ["shadow", "soft"]);
    assert_eq!(desk.standing("alice", "soft"), (150, 0, Some(0)));
}

#[test]
fn a_grant_tells_what_each_limit_has_left_and_is_small() {
    let desk = Desk::new(plan(
        "pro",
        [
            limit("burst", Metric::Requests, crate::kit::sliding(60), 10),
            limit("daily", Metric::Successes, Window::Day, 5),
            Limit { max: None, ..limit("all", Metric::Tokens, Window::Total, 0) },
        ],
    ));
    let grant = desk.admit(&user("alice"), &demand(100, 50)).unwrap();
    let left: Vec<_> = grant
        .headroom()
        .map(|one| (one.limit.name.to_string(), one.remaining, one.turns_in.map(|t| t.as_secs())))
        .collect();
    assert_eq!(
        left,
        [
            ("burst".to_owned(), Some(9), None),
            ("daily".to_owned(), Some(4), Some(12 * 3_600)),
            ("all".to_owned(), None, None),
        ]
    );
}
