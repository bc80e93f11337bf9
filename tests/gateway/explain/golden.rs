//! The words of explanations.
