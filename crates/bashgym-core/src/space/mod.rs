//! Spaces as this program uses them: what the command line and the server decide alike before they ask the Hub, what they show, and
//! which events follow from what a Space does.

mod bill;
mod decide;
mod news;
mod program;
mod view;

pub use bill::{SpaceBill, SpaceBillError, SpaceBooks, SpaceTerms, first_period, price_a_minute};
pub use decide::{
    PAID_SLEEP, SpaceRefusal, check_cost, check_variables, deploy_options, model_access, period_words,
    sleep_time,
};
pub use news::{SpaceNews, space_topic};
pub use program::OwnProgram;
pub use view::{SpaceView, look, simulated};
