// SPDX-License-Identifier: Apache-2.0
//! shop: as calls.c, with panics.
use std::io::BufRead;
use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

mod market {
    pub struct Stall;

    impl Stall {
        #[inline(never)]
        pub fn sell(&self, price: u64) -> u64 {
            super::opaque(price) * 2
        }
    }

    /// Of three one panics.
    #[inline(never)]
    pub fn checkout(basket: u64, ms: u64) -> u64 {
        if ms > 0 {
            std::thread::sleep(super::Duration::from_millis(ms));
        }
        if basket % 3 == 0 {
            panic!("basket {}", basket);
        }
        super::opaque(basket)
    }
}

/// What the compiler knows nothing of.
fn opaque(number: u64) -> u64 {
    unsafe { std::ptr::read_volatile(&number) }
}

fn in_threads(count: u64, run: fn(u64, u64) -> u64, calls: u64, ms: u64) -> u64 {
    let threads: Vec<_> = (0..count)
        .map(|_| thread::spawn(move || run(calls, ms)))
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

fn checkout_all(calls: u64, ms: u64) -> u64 {
    (1..=calls)
        .filter(|&i| catch_unwind(|| market::checkout(i, ms)).is_err())
        .count() as u64
}

fn sell_all(calls: u64, _ms: u64) -> u64 {
    let stall = market::Stall;
    (1..=calls).map(|price| stall.sell(price)).sum()
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        let run = if words[0] == "sell" { sell_all } else { checkout_all };
        println!("= {}", in_threads(number(1), run, number(2), number(3)));
    }
}
