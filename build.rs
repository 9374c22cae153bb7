//! The migrations are part of the program, but cargo cannot see that in the code.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
