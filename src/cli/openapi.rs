//! `openapi`: the description of the admin API.
//! No server has to run for it: it is part of the program.
//! Must never differ from what a running server answers.

use super::failure::Failure;
use super::house;
use super::output::Output;

pub(super) fn run() -> Result<(), Failure> {
    Output::new(true, true).line(house::openapi().trim_end())
}
