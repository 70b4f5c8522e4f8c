//! Harder things on the same road: several tenants, strange values, large amounts, and customers who do what they
//! want with their own database.

mod edges;
mod emptied;
mod keys;
mod mappings;
mod order;
mod owners;
mod pooler;
mod references;
mod refused;
mod roles;
mod secrets;
mod sessions;
mod switches;
mod tenants;
mod values;
mod volume;
