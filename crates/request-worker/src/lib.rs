//! The request worker: consumes delivery jobs and sends HTTP requests.
