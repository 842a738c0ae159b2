//! Shuttle's, and what its semaphore does not have.

use std::sync::Arc;

pub use shuttle_tokio::sync::{
    AcquireError, Notify, OwnedSemaphorePermit, TryAcquireError, mpsc, oneshot,
};

/// A semaphore that can forget permits.
#[derive(Debug)]
pub struct Semaphore(Arc<shuttle_tokio::sync::Semaphore>);

impl Semaphore {
    /// With so many permits.
    pub fn new(permits: usize) -> Self {
        Self(Arc::new(shuttle_tokio::sync::Semaphore::new(permits)))
    }

    /// Takes a permit if there is one and no other call waits for it.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.0).try_acquire_owned()
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// When the semaphore has been closed.
    pub async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.0).acquire_owned().await
    }

    /// Adds permits.
    pub fn add_permits(&self, permits: usize) {
        self.0.add_permits(permits);
    }

    /// Removes up to so many free permits that no call waits for; says how many.
    pub fn forget_permits(&self, permits: usize) -> usize {
        let free = (0..permits).map_while(|_| self.0.try_acquire().ok());
        free.map(shuttle_tokio::sync::SemaphorePermit::forget).count()
    }

    /// Permits that are free.
    pub fn available_permits(&self) -> usize {
        self.0.available_permits()
    }
}
