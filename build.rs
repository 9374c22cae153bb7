//! Rebuilds the program when a migration changes: they are compiled in by a macro, which cargo does not
//! track.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
