/* Preloaded into the service and PostgreSQL by a long crash test: a clock that can be moved forward, and a disk
   whose fsync can be slowed down. The values are read from the file CRASH_MACHINE while the processes run. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct machine {
    volatile int64_t clock_seconds;
    volatile int64_t sync_microseconds;
};

static struct machine unchanged;
static struct machine *machine = &unchanged;

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("CRASH_MACHINE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *machine, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) machine = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += machine->clock_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int fsync(int file) {
    usleep((useconds_t)machine->sync_microseconds);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    usleep((useconds_t)machine->sync_microseconds);
    return (int)syscall(SYS_fdatasync, file);
}
