//! What `explain` says of a request is what becomes of it.

mod agrees;
mod golden;
mod listeners;
mod policies;
mod tests_of_file;
