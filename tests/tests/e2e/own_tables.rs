//! Tables of the operator's own: tracked, mapped, copied and followed, while their application notices nothing.

mod application;
mod feed;
mod first_table;
mod healing;
mod touches;
mod types;
