//! The desk at which the books are asked: they wait for a disk, so they are asked where blocking is
//! allowed, by so many at a time. What has been begun is finished, also when its client goes away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tollgate_admission::books::{Books, BooksError};
use tollgate_domain::fault::Code;

use crate::stop::Stop;

/// How many may ask at a time.
const SEATS: usize = 16;
/// How long a question may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the books.
#[derive(Clone, Debug)]
pub struct Desk {
    books: Arc<dyn Books>,
    seats: Arc<Semaphore>,
}

impl Desk {
    /// A desk before these books.
    pub fn new(books: Arc<dyn Books>) -> Self {
        Self { books, seats: Arc::new(Semaphore::new(SEATS)) }
    }

    /// Asks. The question runs to its end, whatever becomes of the one who asked.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Books) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, Stop> {
        let seat = Arc::clone(&self.seats).acquire_owned();
        let seat = tokio::time::timeout(PATIENCE, seat).await;
        let Ok(Ok(seat)) = seat else {
            return Err(Stop::new(Code::Overloaded, "too many ask for this at once"));
        };
        let books = Arc::clone(&self.books);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question(&*books);
            drop(seat);
            answer
        });
        asked.await.unwrap_or_else(|_| Err(Stop::new(Code::Internal, "the books failed")))
    }
}

impl From<BooksError> for Stop {
    fn from(error: BooksError) -> Self {
        match &error {
            BooksError::Invalid(_) => Self::new(Code::InvalidRequest, error.to_string()),
            BooksError::Failed(_) => {
                Self::new(Code::Degraded, format!("the database does not answer: {error}"))
            }
        }
    }
}
