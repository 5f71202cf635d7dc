// Counts the allocations and locks of a program that was not built for it: LD_PRELOAD this, and
// name a file in MILLRACE_COUNT_FILE. Its bytes are the counters below, kept up to date. For glibc,
// whose own functions are called by their other names, so that looking them up allocates nothing.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counters {
    _Atomic uint64_t allocated;
    _Atomic uint64_t freed;
    _Atomic uint64_t locked;
};

static struct counters unseen;  // Without a file.
static struct counters *counters = &unseen;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("MILLRACE_COUNT_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    if (ftruncate(fd, sizeof(struct counters)) == 0) {
        struct counters *place =
            mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (place != MAP_FAILED) {
            counters = place;
        }
    }
    close(fd);
}

static void count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *old);
int __pthread_mutex_lock(pthread_mutex_t *mutex);
int __pthread_rwlock_rdlock(pthread_rwlock_t *lock);
int __pthread_rwlock_wrlock(pthread_rwlock_t *lock);

void *malloc(size_t bytes) {
    count(&counters->allocated);
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
    count(&counters->allocated);
    return __libc_calloc(number, bytes);
}

void *realloc(void *old, size_t bytes) {
    count(&counters->allocated);
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    count(&counters->allocated);
    return __libc_memalign(alignment, bytes);
}

void free(void *old) {
    if (old != NULL) {
        count(&counters->freed);
    }
    __libc_free(old);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    count(&counters->locked);
    return __pthread_mutex_lock(mutex);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    count(&counters->locked);
    return __pthread_rwlock_rdlock(lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    count(&counters->locked);
    return __pthread_rwlock_wrlock(lock);
}
