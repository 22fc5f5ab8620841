//! Entry points and hostcalls of TCP connections, and the log of a root context.
