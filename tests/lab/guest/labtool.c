// What the guest's shell cannot do:
//   labtool serve PORT             runs scripts that come by TCP, several at a time
//   labtool record DEVICE          prints evdev events, one a line, until the device goes
//   labtool follow PLACE           the same of whatever device is plugged in at this place (EVIOCGPHYS), for ever
//   labtool state PLACE...         prints which keys and buttons are down at these places, and where the pointer is
//   labtool led DEVICE CODE VALUE  sets a LED, as the computer would
//   labtool freeze THREAD          stops one thread of a process, as if it hung
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/input.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT_MAX 65536

static int fail(const char *what) {
  fprintf(stderr, "labtool: %s: %s\n", what, strerror(errno));
  return 1;
}

// One connection: a script up to a zero byte in; its output, a zero byte and its exit status as text out.
static void answer(int connection) {
  static char script[SCRIPT_MAX];
  size_t length = 0;
  while (length < sizeof script && !memchr(script, 0, length)) {
    ssize_t got = read(connection, script + length, sizeof script - length);
    if (got <= 0) return;
    length += (size_t)got;
  }
  if (!memchr(script, 0, length)) return;
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(connection, 1);
    dup2(connection, 2);
    close(connection);
    close(null);
    execl("/bin/sh", "sh", "-c", script, (char *)0);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  char tail[16];
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  tail[0] = 0;
  int n = snprintf(tail + 1, sizeof tail - 1, "%d", code) + 1;
  if (write(connection, tail, (size_t)n) != n) return;
  shutdown(connection, SHUT_RDWR);  // what the script left in the background may still hold the socket
}

static int serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 16)) return fail("listen");
  printf("lab: ready\n");
  fflush(stdout);
  for (;;) {
    int connection = accept(listener, 0, 0);
    if (connection < 0) continue;
    if (fork() == 0) {
      close(listener);
      answer(connection);
      _exit(0);
    }
    close(connection);
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
  }
}

static int record(const char *device) {
  int fd = open(device, O_RDONLY);
  if (fd < 0) return fail(device);
  printf("# listening\n");
  fflush(stdout);
  struct input_event event;
  while (read(fd, &event, sizeof event) == sizeof event) {
    if (event.type == EV_SYN || event.type == EV_MSC) continue;
    printf("%d %d %d\n", event.type, event.code, event.value);
    fflush(stdout);
  }
  printf("# gone\n");
  return 0;
}

// The node of the first device at this place; 0 if there is none.
static int find_device(const char *place, char *node, size_t size) {
  glob_t found;
  if (glob("/sys/class/input/event*/device/phys", 0, 0, &found)) return 0;
  int is_found = 0;
  for (size_t i = 0; i < found.gl_pathc && !is_found; i++) {
    char phys[128], name[32];
    int fd = open(found.gl_pathv[i], O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, phys, sizeof phys - 1);
    if (fd >= 0) close(fd);
    if (length <= 0) continue;
    phys[length - 1] = 0;  // in place of the line's end
    if (strcmp(phys, place) || sscanf(found.gl_pathv[i], "/sys/class/input/%31[^/]", name) != 1) continue;
    snprintf(node, size, "/dev/input/%s", name);
    is_found = access(node, R_OK) == 0;
  }
  globfree(&found);
  return is_found;
}

static void follow(const char *place) {
  char node[64];
  for (;;) {
    if (find_device(place, node, sizeof node)) record(node);
    usleep(20000);
  }
}

static int show_state(const char *place) {
  unsigned char down[KEY_CNT / 8] = {0};
  char node[64];
  int fd = find_device(place, node, sizeof node) ? open(node, O_RDONLY) : -1;
  if (fd < 0 || ioctl(fd, EVIOCGKEY(sizeof down), down) < 0) {
    printf("gone %s\n", place);
    return 0;
  }
  for (int code = 0; code < KEY_CNT; code++)
    if (down[code / 8] >> code % 8 & 1) printf("down %d\n", code);
  struct input_absinfo x, y;
  if (ioctl(fd, EVIOCGABS(ABS_X), &x) >= 0 && ioctl(fd, EVIOCGABS(ABS_Y), &y) >= 0)
    printf("at %d %d\n", x.value, y.value);
  close(fd);
  return 0;
}

static int set_led(const char *device, int code, int value) {
  int fd = open(device, O_RDWR);
  if (fd < 0) return fail(device);
  struct input_event events[2] = {{.type = EV_LED, .code = (unsigned short)code, .value = value}, {.type = EV_SYN}};
  if (write(fd, events, sizeof events) != sizeof events) return fail("write");
  return 0;
}

// Stops one thread of a process, whose others go on, until the process ends.
static int freeze(pid_t thread) {
  if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0) return fail("ptrace");
  int status;
  if (waitpid(thread, &status, __WALL) < 0) return fail("waitpid");
  printf("frozen\n");
  fflush(stdout);
  // It stays stopped: nobody tells it to go on. Its end is what comes next.
  while (waitpid(thread, &status, __WALL) >= 0 && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "record")) return record(argv[2]);
  if (argc == 3 && !strcmp(argv[1], "follow")) follow(argv[2]);
  if (argc > 2 && !strcmp(argv[1], "state")) {
    for (int n = 2; n < argc; n++) show_state(argv[n]);
    return 0;
  }
  if (argc == 3 && !strcmp(argv[1], "freeze")) return freeze(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "led")) return set_led(argv[2], atoi(argv[3]), atoi(argv[4]));
  fprintf(stderr, "labtool: serve PORT | record DEVICE | follow PLACE | state PLACE... | led DEVICE CODE VALUE | freeze THREAD\n");
  return 2;
}
