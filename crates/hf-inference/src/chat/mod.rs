//! Chat: what is asked, what is answered, whole or piece by piece.

mod reply;
mod request;
mod shared;
mod stream;

pub(crate) use self::reply::WireUsage;
pub use self::reply::{ChatReply, Choice, ChunkBody, ChunkChoice, Delta};
pub(crate) use self::request::ChatBody;
pub use self::request::{
    ChatOptions, ChatRequest, Content, ContentPart, FunctionCall, ImageUrl, Message, ToolCall,
};
pub use self::shared::Shared;
pub(crate) use self::stream::open;
pub use self::stream::{ChatChunk, ChatStream};
