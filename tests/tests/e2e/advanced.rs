//! Harder things on the same road: several tenants, strange values, large amounts, and customers who do what they want
//! with their own database.
