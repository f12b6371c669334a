//! Waiting for one of many: small futures for the driver's `select!`, all of them cancellation-safe.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::watch;

/// The next value of a watch; never, once its sender is gone.
pub(super) async fn changed<T: Clone>(receiver: &mut watch::Receiver<T>) -> T {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    // Seen is what `borrow_and_update` shows; the callers that need the value as it is then read it again.
    receiver.borrow().clone()
}

/// Ends when the agent stops.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|is_stopping| *is_stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A future without its type.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes a future's type away.
pub(super) fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> Boxed<'a, T> {
    Box::pin(future)
}

/// The first of several futures that is ready, with its number; never, if there are none.
pub(super) async fn first<'a, T>(futures: impl Iterator<Item = (usize, Boxed<'a, T>)>) -> (usize, T) {
    let mut futures: Vec<_> = futures.collect();
    std::future::poll_fn(move |context| {
        for (number, future) in &mut futures {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready((*number, value));
            }
        }
        Poll::Pending
    })
    .await
}
