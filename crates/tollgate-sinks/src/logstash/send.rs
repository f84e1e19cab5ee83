//! Writes a batch to the connection, which is made anew when the other end has closed it.

use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::{Logstash, render};
use crate::event::Call;
use crate::transport::stream::{Stream, connect};
use crate::worker::{Delivery, Sink};

impl Sink for Logstash {
    type Event = Call;

    async fn send(&mut self, batch: &[Call]) -> Delivery {
        let body = render::lines(batch, self.line);
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.write(&body)).await {
            Ok(Ok(())) => Delivery::taken(),
            Ok(Err(error)) => Delivery::later(error.to_string()),
            Err(_) => Delivery::later("it takes nothing"),
        }
    }
}

impl Logstash {
    async fn write(&mut self, body: &[u8]) -> io::Result<()> {
        // A connection that failed is not kept.
        let mut kept = self.kept.take();
        let stands = match &mut kept {
            Some(stream) => stands(stream).await,
            None => false,
        };
        let mut stream = match kept {
            Some(stream) if stands => stream,
            _ => connect(&self.place, &self.tls).await?,
        };
        stream.write_all(body).await?;
        stream.flush().await?;
        self.kept = Some(stream);
        Ok(())
    }
}

/// Whether the other end still listens: one that has closed is read as an end at once.
async fn stands(stream: &mut Stream) -> bool {
    // The runtime looks at its sockets before it comes back here, so that an end that has arrived
    // is known.
    tokio::task::yield_now().await;
    let mut bytes = [0; 64];
    std::future::poll_fn(|cx| {
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Ready(true),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(false),
            }
        }
    })
    .await
}
