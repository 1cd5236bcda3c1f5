//! The fast lane allocates nothing, whatever is asked.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::shapes::{self, Measured};

/// The system's allocator, and how often this thread has asked it.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// Counts without allocating: the cell needs no set-up and no destructor.
fn count() {
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_fast_lane_allocates_nothing() {
    allocates_nothing(&Measured::start());
}

#[test]
fn nor_does_it_while_its_queries_are_sampled() {
    allocates_nothing(&Measured::start_with("status 127.0.0.1:0"));
}

fn allocates_nothing(measured: &Measured) {
    let mut lane = measured.bench.lane();
    let mut out = vec![0; 4096];
    for shape in shapes::shapes() {
        // The first round may meet a thread's or a table's first use.
        shapes::ask(&mut *lane, &shape, &mut out);
        let before = ASKED.get();
        let right = shapes::ask(&mut *lane, &shape, &mut out);
        let asked = ASKED.get() - before;
        assert_eq!((right, asked), (shape.questions.len(), 0), "{}: answers, allocations", shape.name);
    }
    // The counter counts.
    let before = ASKED.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ASKED.get() - before, 1);
}
