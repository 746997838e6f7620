/* Puts the offset that is in the file WALL_CLOCK, in nanoseconds, on the time of day of whoever
 * loads this with LD_PRELOAD. Other clocks are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static const volatile int64_t none = 0;
static const volatile int64_t *offset = &none;
static int (*look)(clockid_t, struct timespec *);

static void find(void)
{
    look = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (!look)
        abort();
}

__attribute__((constructor)) static void open_offset(void)
{
    find();
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED)
        offset = at;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    /* Another library's constructor may have been quicker. */
    if (!look)
        find();
    int failed = look(clock, time);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return failed;
    int64_t now = time->tv_sec * SECOND + time->tv_nsec + *offset;
    if (now < 0)
        now = 0;
    time->tv_sec = now / SECOND;
    time->tv_nsec = now % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    if (!time)
        return failed;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
