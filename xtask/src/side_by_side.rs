//! Independent jobs, a few at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `job` for each item, on at most `width` threads, and returns the results in the order of
/// the items.
///
/// # Panics
/// When a job panics.
pub(crate) fn side_by_side<I: Sync, R: Send>(
    items: &[I],
    width: usize,
    job: impl Fn(&I) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..width.min(items.len()) {
            scope.spawn(|| {
                // Relaxed: the counter only hands out numbers. The end of the scope publishes the
                // results of the jobs.
                while let Some((item, result)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).zip(results.get(at))
                } {
                    let done = job(item);
                    *result.lock().expect(
                        "each result is written by one thread, which does not panic here",
                    ) = Some(done);
                }
            });
        }
    });
    let results = results.into_iter().map(|result| result.into_inner().ok().flatten());
    results.map(|result| result.expect("the scope ends when every item has been done")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..50).collect();
        for width in [1, 2, 7, 100] {
            assert_eq!(
                side_by_side(&items, width, |item| item * 2),
                (0..50).map(|n| n * 2).collect::<Vec<_>>()
            );
        }
        assert!(side_by_side(&[] as &[u32], 2, |item| *item).is_empty());
    }

    #[test]
    fn as_many_jobs_run_at_a_time_as_were_asked_for() {
        // This ends only if both jobs are inside at the same time.
        let both = Barrier::new(2);
        side_by_side(&[1, 2], 2, |_| both.wait().is_leader());
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        side_by_side(&[0; 40], 2, |_| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        assert!(most.into_inner() <= 2);
    }
}
