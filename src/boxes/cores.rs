//! Many small things, shared out among the cores.

use std::num::NonZero;
use std::thread;

/// Below so many things a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 100;

/// Does the work on parts of `items`, one part per core; the results are in the order of the parts.
pub(super) fn share_out<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = cores.min(items.len() / WORTH_A_THREAD).max(1);
    let mut parts = items.chunks(items.len().div_ceil(parts).max(1));
    let work = &work;
    thread::scope(|scope| {
        let ours = parts.next();
        let theirs: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let ours = ours.map(work);
        let joined =
            theirs.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ours.into_iter().chain(joined).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_done_once_and_stays_in_order() {
        for count in [0, 1, 99, 100, 250, 1001] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(share_out(&items, <[usize]>::to_vec).concat(), items);
        }
    }
}
