/* An open-loop load generator for HTTP/1.1: requests leave at times drawn beforehand, whether or not earlier ones were
 * answered, and latency counts from the time a request was meant to leave. So a server that stalls is charged for every
 * request that would have come meanwhile ("coordinated omission" is what closed loops do instead).
 *
 * openloop PORT REQUESTS RATE SECONDS CONNECTIONS SEED poisson|even RECORDS GRACE
 *
 * REQUESTS: entries of "<length> <length>\n", a whole request, and what its answer must contain (may be empty). Ten
 * '@' in a request are replaced by the number of the sending. RECORDS gets one struct record a sending, in order.
 * GRACE: seconds to wait for answers after the last sending. One thread; Linux (epoll, timerfd).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MARK = 10, WRONG = 1, WAITED = 2, BROKEN = -1, UNANSWERED = 0 };

typedef struct { char *data; size_t size; char *expect; size_t expect_size; char *mark; } Request;
typedef struct { double intended, sent, done; int32_t status, flags; } Record;
typedef struct Connection {
  int fd, next; /* next: in the queue of idle connections */
  long number;  /* what it is busy with; -1 when idle */
  char *out; size_t out_size, out_room, written;
  char *in; size_t in_size, in_room;
} Connection;

static Request *requests; static size_t request_count;
static Record *records;
static Connection *connections; static int first_idle = -1, last_idle = -1;
static int epoll_fd, port; static double origin;
static long answered, total;
static const char *save_to; static double ends;

static void fail(const char *what) { perror(what); exit(2); }
static double now(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec - origin;
}
static void *grown(void *old, size_t size) { void *p = realloc(old, size ? size : 1); if (!p) fail("memory"); return p; }

static void save_and_exit(void) {
  FILE *file = fopen(save_to, "wb");
  if (!file || fwrite(records, sizeof *records, (size_t)total, file) != (size_t)total || fclose(file)) fail(save_to);
  exit(0);
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb"); size_t a, b;
  if (!file) fail(path);
  while (fscanf(file, "%zu %zu", &a, &b) == 2) {
    fgetc(file);
    requests = grown(requests, (request_count + 1) * sizeof *requests);
    Request *r = &requests[request_count++];
    r->size = a; r->expect_size = b; r->data = grown(NULL, a); r->expect = grown(NULL, b);
    if (fread(r->data, 1, a, file) != a || fread(r->expect, 1, b, file) != b) fail("a request is cut short");
    r->mark = memmem(r->data, a, "@@@@@@@@@@", MARK);
  }
  fclose(file);
  if (!request_count) { fprintf(stderr, "no requests in %s\n", path); exit(2); }
}

static void watch(Connection *c, int operation, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, operation, c->fd, &e)) fail("epoll_ctl");
}

static void idle(Connection *c) {
  int me = (int)(c - connections);
  c->number = -1; c->next = -1; c->in_size = 0;
  if (last_idle >= 0) connections[last_idle].next = me; else first_idle = me;
  last_idle = me;
}

static void connect_to_server(Connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
    if (now() > 1e6) fail("connect"); /* the clock says 1e7 before the start: then a refusal is an error */
    if (errno != EINTR && errno != ECONNREFUSED && errno != ECONNRESET) fail("connect");
    if (now() > ends) save_and_exit();
    usleep(1000);
  }
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void finish(Connection *c, int status, int flags) {
  Record *r = &records[c->number];
  r->done = now(); r->status = status; r->flags |= flags;
  answered++;
  idle(c);
}

static void reconnect(Connection *c) {
  close(c->fd);
  if (c->number >= 0) finish(c, BROKEN, 0);
  connect_to_server(c);
}

static void flush_out(Connection *c) {
  while (c->written < c->out_size) {
    ssize_t n = send(c->fd, c->out + c->written, c->out_size - c->written, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) { watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT); return; }
    if (n < 0) return; /* the reading side will see the end of the connection */
    c->written += (size_t)n;
  }
}

static void start(long number, int flags) {
  Connection *c = &connections[first_idle];
  Request *r = &requests[(size_t)number % request_count];
  if ((first_idle = c->next) < 0) last_idle = -1;
  c->number = number; c->written = 0; c->out_size = r->size;
  if (c->out_room < r->size) c->out = grown(c->out, c->out_room = r->size);
  memcpy(c->out, r->data, r->size);
  if (r->mark) { char digits[32]; snprintf(digits, sizeof digits, "%010ld", number % 10000000000L);
    memcpy(c->out + (r->mark - r->data), digits, MARK); }
  records[number].sent = now(); records[number].flags = flags;
  flush_out(c);
}

/* The length of the whole answer, 0 while it is not known; fills where its body begins and whether it ends the line. */
static size_t whole(Connection *c, size_t *body, int *closes) {
  char *end = memmem(c->in, c->in_size, "\r\n\r\n", 4);
  if (!end) return 0;
  *body = (size_t)(end - c->in) + 4;
  size_t length = 0; int chunked = 0;
  for (char *line = memchr(c->in, '\n', c->in_size); line && line < end; line = memchr(line, '\n', (size_t)(end + 2 - line))) {
    line++;
    if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
    else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) chunked = 1;
    else if (!strncasecmp(line, "connection: close", 17)) *closes = 1;
  }
  if (!chunked) return *body + length;
  char *last = memmem(end, c->in_size - (size_t)(end - c->in), "\r\n0\r\n\r\n", 7);
  return last ? (size_t)(last - c->in) + 7 : 0;
}

static void receive(Connection *c) {
  for (;;) {
    if (c->in_room - c->in_size < 65536) c->in = grown(c->in, c->in_room = c->in_size + 131072);
    ssize_t n = recv(c->fd, c->in + c->in_size, c->in_room - c->in_size - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { reconnect(c); return; }
    c->in_size += (size_t)n; c->in[c->in_size] = 0;
    if (c->number < 0) { c->in_size = 0; continue; }
    size_t body = 0; int closes = 0; size_t size = whole(c, &body, &closes);
    if (!size || c->in_size < size) continue;
    Request *r = &requests[(size_t)c->number % request_count];
    int status = atoi(c->in + 9), flags = 0;
    if (status == 200 && r->expect_size && !memmem(c->in + body, size - body, r->expect, r->expect_size)) flags = WRONG;
    finish(c, status, flags);
    if (closes) reconnect(c);
    return;
  }
}

static void schedule(double rate, double seconds, unsigned seed, int poisson) {
  unsigned short state[3] = {(unsigned short)seed, (unsigned short)(seed >> 16), 0x330e};
  size_t room = (size_t)(rate * seconds * 1.5) + 1000;
  records = calloc(room, sizeof *records);
  if (!records) fail("memory");
  for (double t = 0; (size_t)total < room; total++) {
    t = poisson ? t - log(1 - erand48(state)) / rate : (double)(total + 1) / rate;
    if (t >= seconds) break;
    records[total].intended = t;
  }
}

int main(int argc, char **argv) {
  if (argc != 10) { fprintf(stderr, "openloop: nine arguments, see its source\n"); return 2; }
  port = atoi(argv[1]); read_requests(argv[2]);
  double seconds = atof(argv[4]);
  save_to = argv[8]; ends = seconds + atof(argv[9]);
  int count = atoi(argv[5]), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  schedule(atof(argv[3]), seconds, (unsigned)atoi(argv[6]), !strcmp(argv[7], "poisson"));
  connections = calloc((size_t)count, sizeof *connections);
  if ((epoll_fd = epoll_create1(0)) < 0 || timer < 0 || !connections) fail("start");
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &e);
  origin = now() - 1e7;
  for (int i = 0; i < count; i++) { connect_to_server(&connections[i]); idle(&connections[i]); }
  origin += now() + 0.01;
  long due = 0, begun = 0;
  while (answered < total) {
    double t = now();
    if (t > ends) break;
    while (due < total && records[due].intended <= t) due++;
    while (begun < due && first_idle >= 0) { start(begun, records[begun].flags); begun++; }
    for (long i = due; begun < due && i-- > begun && !(records[i].flags & WAITED);) records[i].flags |= WAITED;
    double wait = (due < total ? records[due].intended : ends) - now();
    long ns = wait < 1e-6 ? 1000 : (long)(fmin(wait, 1.0) * 1e9);
    struct itimerspec at = {.it_value = {ns / 1000000000, ns % 1000000000}};
    timerfd_settime(timer, 0, &at, NULL);
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, 1000);
    for (int i = 0; i < n; i++) {
      Connection *c = events[i].data.ptr;
      uint64_t beats;
      if (!c) { if (read(timer, &beats, sizeof beats) < 0) continue; continue; }
      if (events[i].events & EPOLLOUT) { watch(c, EPOLL_CTL_MOD, EPOLLIN); flush_out(c); }
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    }
  }
  save_and_exit();
}
