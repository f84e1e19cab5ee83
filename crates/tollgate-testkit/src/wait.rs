//! Waiting for something that happens elsewhere (another process, another task): poll until it is
//! so, and fail with what was seen last. Tests wait on conditions, never for a fixed time.

use std::time::Duration;

use tokio::time::Instant;

/// Polls `look` until it gives `Ok`, at most `within`; panics with the last `Err` otherwise.
///
/// `what` names the condition in the panic message.
pub async fn eventually<T, F, Fut>(what: &str, within: Duration, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(5);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= deadline => {
                panic!("{what}: not so within {within:?}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
