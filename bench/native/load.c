// Asks a gateway the same thing over many kept connections, and prints what it saw as JSON:
//   load PORT PATH BODY-FILE CONNECTIONS REQUESTS SECONDS RAMP-PER-S [HEADER]...
//
// It ends after REQUESTS answers or, with 0, after SECONDS, which bound it in any case.
// Streams are read line by line, however they are framed; @T<nanoseconds>@ in a line is when
// the vendor sent it. `ended` counts the streams that came to their [DONE].
#include "common.h"

typedef struct {
    int fd, status, events;
    long left;  // of a body whose length is known, or of a chunk
    enum { HEAD, BODY, SIZE, CHUNK, AFTER_CHUNK, TRAILER, COMPLETE } at;
    int64_t sent;
    buffer in, text;  // as received; lines of a stream
    size_t out;
} client;

typedef struct {
    double *ms;
    size_t count, room;
} samples;

static samples whole, first, transit;
static int poller, open_clients, codes[600];
static long done, begun, wanted, failures, streamed, ended, bytes;
static int64_t finish;
static struct sockaddr_in address = {.sin_family = AF_INET};
static char *request;
static size_t request_size;

static void note(samples *s, double ns) {
    if (s->count == s->room) s->ms = realloc(s->ms, (s->room = 2 * s->room + 1024) * sizeof *s->ms);
    s->ms[s->count++] = ns / 1e6;
}

static int rising(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static void print(const char *name, samples *s) {
    qsort(s->ms, s->count, sizeof *s->ms, rising);
    printf(",\"%s\":{\"count\":%zu", name, s->count);
    const struct { const char *name; double part; } parts[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}, {"max", 1}};
    for (int i = 0; s->count && i < 4; i++)
        printf(",\"%s\":%.4f", parts[i].name, s->ms[(size_t)(parts[i].part * (s->count - 1))]);
    printf("}");
}

static int more(void) { return now_ns() < finish && (!wanted || begun < wanted); }

static int push(client *c) {
    while (c->out < request_size) {
        ssize_t n = send(c->fd, request + c->out, request_size - c->out, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != ENOTCONN) return -1;
        if (n < 0) break;
        c->out += n;
    }
    struct epoll_event e = {.events = EPOLLIN | (c->out < request_size ? EPOLLOUT : 0), .data.ptr = c};
    return epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static int ask(client *c) {
    begun++;
    c->out = c->events = c->status = 0;
    c->at = HEAD;
    release(&c->text);
    c->sent = now_ns();
    return push(c);
}

static void join(client *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    at_once(c->fd);
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    release(&c->in);
    open_clients++;
    ask(c);
}

static void leave(client *c) {
    close(c->fd);
    open_clients--;
}

static void line(client *c, const char *text, size_t size) {
    if (size < 6 || memcmp(text, "data: ", 6)) return;
    if (size >= 12 && !memcmp(text, "data: [DONE]", 12)) ended++;
    const char *mark = memmem(text, size, "@T", 2);
    if (!mark) return;
    int64_t now = now_ns();
    if (!c->events++) note(&first, now - c->sent);
    streamed++;
    note(&transit, now - atoll(mark + 2));
}

static void take(client *c, long size) {
    c->in.start += size;
    c->left -= size;
}

// The next line of `b` without its end; NULL when there is none yet.
static char *next_line(buffer *b, size_t *size) {
    char *text = b->data + b->start, *end = held(b) ? memchr(text, '\n', held(b)) : NULL;
    if (!end) return NULL;
    b->start += end + 1 - text;
    *size = end - text - (end > text && end[-1] == '\r');
    return text;
}

static void head(client *c) {
    char *text = c->in.data + c->in.start, *end = memmem(text, held(&c->in), "\r\n\r\n", 4);
    if (!end) return;
    size_t size = end + 4 - text;
    c->status = atoi(text + 9);
    c->left = content_length(text, size);
    c->in.start += size;
    c->at = c->left < 0 ? SIZE : c->left ? BODY : COMPLETE;
}

// Goes one part of the answer further; 0 when more has to come first.
static int step(client *c) {
    size_t size, there = held(&c->in);
    char *text;
    switch (c->at) {
    case HEAD:
        head(c);
        return c->at != HEAD;
    case BODY:
        take(c, there < (size_t)c->left ? (long)there : c->left);
        if (!c->left) c->at = COMPLETE;
        return !c->left;
    case CHUNK:
        if (!there) return 0;
        size = there < (size_t)c->left ? there : (size_t)c->left;
        append(&c->text, c->in.data + c->in.start, size);
        take(c, size);
        while ((text = next_line(&c->text, &size))) line(c, text, size);
        if (!c->left) c->at = AFTER_CHUNK;
        return 1;
    default:
        if (c->at == COMPLETE || !(text = next_line(&c->in, &size))) return 0;
        if (c->at == SIZE) c->at = (c->left = strtol(text, NULL, 16)) ? CHUNK : TRAILER;
        else if (c->at == AFTER_CHUNK) c->at = SIZE;
        else if (!size) c->at = COMPLETE;
        return 1;
    }
}

// Reads what has come; 1 when the answer is complete, -1 when the connection is of no more use.
static int receive(client *c) {
    ssize_t n = recv(c->fd, reserve(&c->in, 65536), 65536, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
    c->in.end += n;
    bytes += n;
    while (step(c));
    return c->at == COMPLETE;
}

static void serve(client *c, uint32_t what) {
    if (what & EPOLLOUT && c->out < request_size && push(c)) goto broken;
    if (!(what & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    int got = receive(c);
    if (got < 0) goto broken;
    if (!got) return;
    done++;
    codes[c->status < 600 ? c->status : 0]++;
    note(&whole, now_ns() - c->sent);
    if (!more()) leave(c);
    else if (ask(c)) goto broken;
    return;
broken:
    failures++;
    leave(c);
    if (more()) join(c);
}

static void prepare(const char *path, const char *file, char **headers) {
    buffer body = {0}, all = {0};
    FILE *f = fopen(file, "rb");
    if (!f) die(file);
    for (size_t n; (n = fread(reserve(&body, 65536), 1, 65536, f));) body.end += n;
    fclose(f);
    char text[512];
    append(&all, text, snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n", path, held(&body)));
    for (; *headers; headers++) append(&all, text, snprintf(text, sizeof text, "%s\r\n", *headers));
    append(&all, "\r\n", 2);
    append(&all, body.data, held(&body));
    request = all.data;
    request_size = held(&all);
}

int main(int argc, char **argv) {
    if (argc < 8) return fputs("load PORT PATH BODY-FILE CONNECTIONS REQUESTS SECONDS RAMP [HEADER]...\n", stderr), 2;
    many_files();
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    prepare(argv[2], argv[3], argv + 8);
    int count = atoi(argv[4]), made = 0;
    double ramp = atof(argv[7]);
    wanted = atol(argv[5]);
    poller = epoll_create1(0);
    client *clients = calloc(count, sizeof *clients);
    struct epoll_event ready[512];
    int64_t start = now_ns();
    finish = start + (int64_t)(atof(argv[6]) * 1e9);
    // Answers that are under way at the end of a timed run are waited for a little.
    int64_t patience = finish + (wanted ? 0 : 5000000000LL);
    while ((made < count || open_clients) && now_ns() < patience) {
        double due = ramp ? (now_ns() - start) / 1e9 * ramp + 1 : count;
        for (; made < count && made < due; made++)
            if (more()) join(&clients[made]);
        int n = epoll_wait(poller, ready, 512, made < count ? 1 : 50);
        for (int i = 0; i < n; i++) serve(ready[i].data.ptr, ready[i].events);
        if (!more() && made < count) made = count;
    }
    double seconds = (now_ns() - start) / 1e9;
    printf("{\"seconds\":%.4f,\"answers\":%ld,\"failures\":%ld,\"unfinished\":%d,\"chunks\":%ld,\"ended\":%ld,\"bytes\":%ld,\"codes\":{",
           seconds, done, failures, open_clients, streamed, ended, bytes);
    for (int i = 0, n = 0; i < 600; i++)
        if (codes[i]) printf("%s\"%d\":%d", n++ ? "," : "", i, codes[i]);
    printf("}");
    print("answer_ms", &whole);
    print("first_chunk_ms", &first);
    print("transit_ms", &transit);
    puts("}");
}
