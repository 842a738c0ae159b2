//! The bounded queue: no item is lost, none is past the bound, and no thread is left asleep.

use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_models::explore::{Scope, check, finish, start};
use drystone_pool::{Closed, Queue};
use drystone_sync::{Arc, Condvar, Mutex, PlainArc, thread};

#[test]
fn nothing_is_lost_and_the_order_is_kept() {
    check(Scope::SMALL, || {
        let queue = Queue::new(1);
        let producer = queue.clone();
        let produces = start(move || {
            for item in 0..3 {
                producer.push(item).expect("the queue is open");
            }
            producer.close();
        });
        let items: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        finish(produces);
        assert_eq!(items, [0, 1, 2], "an item was lost or out of order");
    });
}

#[test]
fn the_bound_is_never_passed() {
    check(Scope::SMALL, || {
        let queue = Queue::new(1);
        let inside = PlainArc::new(AtomicUsize::new(0));
        let producers = [1, 2].map(|item| {
            let (queue, inside) = (queue.clone(), PlainArc::clone(&inside));
            start(move || {
                queue.push(item).expect("the queue is open");
                inside.fetch_add(1, Ordering::SeqCst);
            })
        });
        let sum: u32 = [(); 2].map(|()| queue.pop().expect("two items come")).iter().sum();
        producers.into_iter().for_each(finish);
        assert_eq!((sum, inside.load(Ordering::SeqCst)), (3, 2), "an item was lost");
        assert!(queue.usage().high_water <= 1, "the queue went past the ceiling");
    });
}

#[test]
fn two_producers_and_two_consumers_exchange_everything() {
    check(Scope::SMALL.loom(2, 25_000), || {
        let queue = Queue::new(1);
        let producers = [1u32, 10].map(|item| {
            let queue = queue.clone();
            start(move || {
                queue.push(item).expect("the queue is open");
                queue.push(item).expect("the queue is open");
            })
        });
        let consumer = queue.clone();
        let consumes = start(move || [consumer.pop(), consumer.pop()]);
        let here = [queue.pop(), queue.pop()];
        let there = finish(consumes);
        producers.into_iter().for_each(finish);
        assert_eq!(here.iter().chain(&there).flatten().sum::<u32>(), 22, "an item was lost");
    });
}

#[test]
fn close_ends_every_consumer() {
    check(Scope::SMALL, || {
        let queue: Queue<u32> = Queue::new(1);
        let consumers = [(); 2].map(|()| {
            let queue = queue.clone();
            start(move || assert_eq!(queue.pop(), None))
        });
        queue.close();
        consumers.into_iter().for_each(finish);
    });
}

#[test]
fn close_ends_every_producer_and_gives_items_back() {
    check(Scope::SMALL, || {
        let queue = Queue::new(1);
        queue.push(0).expect("it is empty");
        let producers = [1, 2].map(|item| {
            let queue = queue.clone();
            start(move || assert_eq!(queue.push(item), Err(Closed(item))))
        });
        queue.close();
        producers.into_iter().for_each(finish);
        assert_eq!(
            (queue.pop(), queue.pop()),
            (Some(0), None),
            "what was inside can still be taken"
        );
    });
}

/// Each of two jobs ends only once the other has begun. Both are taken, although only one consumer
/// is woken for the two.
#[test]
fn two_items_reach_two_consumers() {
    check(Scope::SMALL, || {
        let queue = Queue::new(2);
        let begun = Arc::new((Mutex::new(0), Condvar::new()));
        let consumers = [(); 2].map(|()| {
            let (queue, begun) = (queue.clone(), Arc::clone(&begun));
            start(move || {
                queue.pop().expect("two items come");
                let (count, another) = &*begun;
                let mut count = count.lock();
                *count += 1;
                another.notify_all();
                while *count < 2 {
                    count = another.wait(count);
                }
            })
        });
        (0..2).for_each(|item| queue.push(item).expect("the queue is open"));
        consumers.into_iter().for_each(finish);
    });
}

#[test]
fn a_queue_of_two_keeps_the_order() {
    check(Scope::PAIR, || {
        let queue = Queue::new(2);
        let producer = queue.clone();
        let produces = start(move || {
            for item in 0..4 {
                producer.push(item).expect("the queue is open");
            }
            producer.close();
        });
        let items: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        finish(produces);
        assert_eq!(items, [0, 1, 2, 3], "an item was lost or out of order");
        assert!(queue.usage().high_water <= 2, "the queue went past the ceiling");
    });
}

/// Two producers wait for room. What makes room for both lets both go on.
#[test]
fn room_for_two_is_given_to_two() {
    check(Scope::PAIR, || {
        let queue = Queue::new(2);
        (0..2).for_each(|item| queue.push(item).expect("there is room"));
        let producers = [2, 3].map(|item| {
            let queue = queue.clone();
            start(move || queue.push(item).expect("the queue is open"))
        });
        assert_eq!((queue.pop(), queue.pop()), (Some(0), Some(1)), "an item was out of order");
        producers.into_iter().for_each(finish);
        let mut rest = [queue.pop(), queue.pop()];
        rest.sort_unstable();
        assert_eq!(rest, [Some(2), Some(3)], "an item was lost");
        let waits = queue.usage().waits;
        assert!(waits <= 2, "two pushes waited {waits} times");
    });
}

#[test]
fn a_wait_for_room_is_counted_once() {
    check(Scope::PAIR, || {
        let queue = Queue::new(1);
        queue.push(0).expect("there is room");
        let producers = [1, 2].map(|item| {
            let queue = queue.clone();
            start(move || queue.push(item).expect("the queue is open"))
        });
        while queue.usage().waits < 2 {
            thread::yield_now();
        }
        let items = [(); 3].map(|()| queue.pop());
        producers.into_iter().for_each(finish);
        assert!(items.iter().all(Option::is_some), "an item was lost");
        assert_eq!(queue.usage().waits, 2, "a wait was counted twice, or not at all");
    });
}

/// One has seen the end and closes, and so does another.
#[test]
fn two_may_close() {
    check(Scope::PAIR, || {
        let queue = Queue::new(2);
        queue.push(0).expect("there is room");
        let closer = queue.clone();
        let closes = start(move || closer.close());
        let consumer = queue.clone();
        let consumes = start(move || std::iter::from_fn(|| consumer.pop()).count());
        queue.close();
        assert_eq!(queue.push(1), Err(Closed(1)), "an item was taken after the end");
        let here = std::iter::from_fn(|| queue.pop()).count();
        finish(closes);
        assert_eq!(here + finish(consumes), 1, "an item was lost");
    });
}
