//! Live events: one envelope over WebSocket and server-sent events.
