//! Writes to a store until it is killed, and says which batches are durable: `kv-writer DIR`.
//!
//! The first line names the origin of the store. Each line after it is the number of a batch whose flush has
//! returned. Batch `n` stores its number under `[1] n`, puts a value into one of 16 slots (`[2] slot`) and its length
//! into the slot's twin (`[3] slot`), and now and then deletes an older number that ends in 5. It flushes three batches
//! of four, or every so many as `KV_WRITER_EVERY` says.

use std::{
    error::Error,
    io::{Write as _, stdout},
    ops::ControlFlow,
    path::Path,
};

use beadmesh_store::{Batch, Kv, open};

/// Slots that are overwritten in turn.
const SLOTS: u64 = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).ok_or("which directory?")?;
    let mut opened = open(Path::new(&dir))?;
    let mut out = stdout().lock();
    writeln!(out, "{:?}", opened.origin)?;
    let every: Option<u64> = std::env::var("KV_WRITER_EVERY").ok().map(|text| text.parse()).transpose()?;
    for number in last(&opened.kv)?.map_or(0, |last| last + 1).. {
        opened.kv.apply(batch(number))?;
        if every.map_or(number % 4 != 1, |every| number % every == every - 1) {
            opened.kv.flush()?;
            writeln!(out, "{number}")?;
        }
    }
    Ok(())
}

fn batch(number: u64) -> Batch {
    let bytes = match number % 20 {
        3 => 300 * 1024,
        7 | 11 => 40 * 1024,
        rest => 40 * (rest + 1),
    };
    let slot = (number % SLOTS).to_be_bytes();
    let mut batch = Batch::default();
    beadmesh_store::open::settle(&mut batch);
    batch.put(key(1, number.to_be_bytes()), &number.to_be_bytes());
    batch.put(key(2, slot), &vec![number.to_le_bytes()[0]; usize::try_from(bytes).expect("it is small")]);
    batch.put(key(3, slot), &bytes.to_be_bytes());
    if number % 10 == 9 && number > 20 {
        batch.delete(key(1, (number - 14).to_be_bytes()));
    }
    batch
}

fn key(kind: u8, number: [u8; 8]) -> Vec<u8> {
    [&[kind], number.as_slice()].concat()
}

/// Returns the highest number stored.
fn last(kv: &dyn Kv) -> Result<Option<u64>, Box<dyn Error>> {
    let mut last = None;
    kv.scan_back(&[1], Some(&[2]), &mut |key, _| {
        last = key[1..].try_into().ok().map(u64::from_be_bytes);
        ControlFlow::Break(())
    })?;
    Ok(last)
}
