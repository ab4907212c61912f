// Loaded before everything else in the server's process, which stays as it is otherwise: answers what CPU time all its
// threads have used, and ends the process when the bench is gone.
process.on("message", () => process.send?.(process.cpuUsage()));
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
// The server ends when it wants to, whether the bench listens or not.
process.channel?.unref();
