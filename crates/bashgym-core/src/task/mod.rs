//! Long work: an upload, a build, a download. It goes on when the request that asked for it is over, tells how far it is,
//! can be canceled, and is taken up again after a crash.

mod model;
mod service;
mod store;

pub use model::{NewTask, TaskError, TaskId, TaskProgress, TaskRecord, TaskState};
pub use service::{TaskContext, TaskHandler, TaskPolicy, TaskService, TaskServiceError};
pub use store::{TaskFilter, TaskStore};
