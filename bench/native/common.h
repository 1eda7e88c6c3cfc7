// What the mock vendor and the load client share: time, numbers, sockets, growing buffers.
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

typedef struct {
    char *data;
    size_t start, end, room;
} buffer;

static inline size_t held(const buffer *b) { return b->end - b->start; }

// Makes room for `more` bytes behind what is held.
static inline char *reserve(buffer *b, size_t more) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->end + more > b->room && b->start) {
        memmove(b->data, b->data + b->start, held(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + more > b->room) {
        b->room = 2 * (b->end + more);
        if (!(b->data = realloc(b->data, b->room))) die("realloc");
    }
    return b->data + b->end;
}

static inline void append(buffer *b, const void *bytes, size_t size) {
    memcpy(reserve(b, size), bytes, size);
    b->end += size;
}

static inline void release(buffer *b) {
    free(b->data);
    *b = (buffer){0};
}

static inline void many_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static inline void at_once(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Where the body of a head (given with its empty line) has its length; -1 when it is not said.
static inline long content_length(const char *head, size_t size) {
    for (const char *at = head, *end = head + size; (at = memchr(at, '\n', end - at)); at++)
        if (end - at > 16 && !strncasecmp(at + 1, "content-length:", 15)) return atol(at + 16);
    return -1;
}
