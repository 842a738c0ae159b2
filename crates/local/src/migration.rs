//! Moves the database of an earlier version on to today's.
//!
//! Why no crate does this: `rusqlite_migration` (2.6.0) fits our licences and compiler, and keeps the
//! version where we do. But it reads the version *before* its transaction begins. Of two processes
//! that open an old store at once, the second would take the steps of the first again, and fail.
//! Here the transaction that takes the steps is the one that reads the version. Besides, a store that
//! cannot be written to must be readable without any step, which is half of this file.

use rusqlite::{Connection, MAIN_DB, Transaction, TransactionBehavior};

use crate::schema;

/// How many steps the tables have taken. Read in every transaction, so it is prepared once.
pub(crate) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Takes the steps that are missing. A later version than today's stays as it is.
pub(crate) fn take_steps(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let taken = usize::try_from(version(tx)?).unwrap_or(usize::MAX);
    let Some(missing) = schema::STEPS.get(taken..).filter(|missing| !missing.is_empty()) else {
        return Ok(());
    };
    for step in missing {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", schema::VERSION)
}

/// Makes a database that was found with an earlier `version` one of today's: the database itself
/// or, where it cannot be written to, what this connection sees of it. Returns the version that it
/// has then.
pub(crate) fn run(db: &mut Connection, version: i64) -> rusqlite::Result<i64> {
    if db.is_readonly(MAIN_DB)? {
        let earlier = usize::try_from(version - 1).unwrap_or(usize::MAX);
        for stand_in in schema::STAND_INS.get(earlier).copied().unwrap_or_default() {
            db.execute_batch(stand_in)?;
        }
        return Ok(schema::VERSION);
    }
    // An index over millions of rows is sorted in files, not in memory.
    db.pragma_update(None, "temp_store", "FILE")?;
    let moved = take_missing_steps(db);
    db.pragma_update(None, "temp_store", "MEMORY")?;
    moved
}

fn take_missing_steps(db: &mut Connection) -> rusqlite::Result<i64> {
    // Of several processes one gets the lock. The others wait for it, and then find nothing left to
    // do.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    take_steps(&transaction)?;
    let version = self::version(&transaction)?;
    transaction.commit()?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of version 1 in memory.
    fn first() -> Connection {
        let db = Connection::open_in_memory().expect("there is memory");
        db.execute_batch(schema::STEPS[0]).expect("the first step makes everything");
        db.pragma_update(None, "user_version", 1).expect("it can be written");
        db
    }

    fn columns(db: &Connection, table: &str) -> Vec<String> {
        let mut statement =
            db.prepare("SELECT name FROM pragma_table_info(?1)").expect("it is SQL");
        let names = statement.query_map([table], |row| row.get(0)).expect("it is SQL");
        names.collect::<Result<_, _>>().expect("names are text")
    }

    #[test]
    fn steps_that_fail_leave_everything_as_it_was() {
        let mut db = first();
        // In the way of the second thing that the step does.
        db.execute_batch("CREATE TABLE object_parts (x)").expect("the name is free");
        run(&mut db, 1).expect_err("the name is taken");
        assert_eq!(version(&db).expect("it can be read"), 1);
        assert!(!columns(&db, "buckets").contains(&"region".to_owned()), "half a step was taken");
        db.execute_batch("DROP TABLE object_parts").expect("it is there");
        assert_eq!(run(&mut db, 1).expect("nothing is in the way"), schema::VERSION);
        assert!(columns(&db, "buckets").contains(&"region".to_owned()));
    }

    #[test]
    fn steps_that_others_have_taken_are_not_taken_again() {
        let mut db = first();
        assert_eq!(run(&mut db, 1).expect("it can be written"), schema::VERSION);
        assert_eq!(run(&mut db, 1).expect("there is nothing to do"), schema::VERSION);
        db.pragma_update(None, "user_version", schema::VERSION + 1).expect("it can be written");
        assert_eq!(run(&mut db, 1).expect("there is nothing to do"), schema::VERSION + 1);
    }

    #[test]
    fn the_chunks_of_a_segment_are_found_by_an_index() {
        let mut db = first();
        run(&mut db, 1).expect("it can be written");
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM chunks WHERE segment = 1";
        let plan: String = db.query_row(sql, [], |row| row.get(3)).expect("it is SQL");
        assert!(plan.contains("chunks_segment"), "{plan}");
    }

    #[test]
    fn a_stand_in_has_the_columns_of_what_it_stands_for() {
        let mut moved = first();
        run(&mut moved, 1).expect("it can be written");
        for (taken, stand_ins) in schema::STAND_INS.iter().enumerate() {
            let old = first();
            for step in &schema::STEPS[1..=taken] {
                old.execute_batch(step).expect("it is SQL");
            }
            for stand_in in *stand_ins {
                old.execute_batch(stand_in).expect("the names are free");
            }
            for table in ["buckets", "object_parts", "manifests", "chunks", "segments", "pins"] {
                let sorted = |db| {
                    let mut columns = columns(db, table);
                    columns.sort();
                    columns
                };
                assert_eq!(sorted(&old), sorted(&moved), "{table} of version {}", taken + 1);
            }
        }
    }
}
