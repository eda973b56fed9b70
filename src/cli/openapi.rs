//! `openapi`: the description of the admin API, for which no server has to run.

use super::failure::Failure;
use super::house;
use super::output::Output;

pub(super) fn run() -> Result<(), Failure> {
    Output::new(true, true).line(house::openapi()?.trim_end())
}
