/* A busy machine, for one Envoy (`LD_PRELOAD`).
 *
 * The mutexes that Envoy unlocks here are those of its event loops: a thread of Graft unlocks one when it has asked a loop for
 * something. There it is interrupted, with whatever it holds. And the process lives on for a while when everything in it has
 * been taken down, as it does where the system is slow to end it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef int unlock(pthread_mutex_t *);

int pthread_mutex_unlock(pthread_mutex_t *mutex) {
  static unlock *libc;
  if (!libc) {
    libc = (unlock *)dlsym(RTLD_NEXT, "pthread_mutex_unlock");
  }
  int result = libc(mutex);
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  if (!strncmp(name, "graft:", 6)) {
    usleep(200 * 1000);
  }
  return result;
}

__attribute__((destructor)) static void end_slowly(void) { usleep(700 * 1000); }
