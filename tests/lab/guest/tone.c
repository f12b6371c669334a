// Plays a tone on both channels of an ALSA device until it is ended, by the kernel's own interface: the guest needs no
// ALSA library for it.   Usage: tone /dev/snd/pcmC0D0p HERTZ PEAK
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sound/asound.h>

enum { RATE = 48000, PERIOD = 480 };

static void only(struct snd_pcm_hw_params *params, int which, unsigned value) {
  struct snd_interval *interval = &params->intervals[which - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
  interval->min = interval->max = value;
  interval->integer = 1;
}

static void only_bit(struct snd_pcm_hw_params *params, int which, unsigned bit) {
  struct snd_mask *mask = &params->masks[which - SNDRV_PCM_HW_PARAM_FIRST_MASK];
  memset(mask, 0, sizeof *mask);
  mask->bits[bit / 32] = 1u << bit % 32;
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  double hertz = atof(argv[2]), peak = atof(argv[3]);
  int pcm = open(argv[1], O_WRONLY);
  if (pcm < 0) return fail("open");
  struct snd_pcm_hw_params params;
  memset(&params, 0, sizeof params);
  memset(params.masks, 0xff, sizeof params.masks);
  for (unsigned n = 0; n < sizeof params.intervals / sizeof *params.intervals; n++) params.intervals[n].max = UINT_MAX;
  params.rmask = ~0u;
  only_bit(&params, SNDRV_PCM_HW_PARAM_ACCESS, (unsigned)SNDRV_PCM_ACCESS_RW_INTERLEAVED);
  only_bit(&params, SNDRV_PCM_HW_PARAM_FORMAT, (unsigned)SNDRV_PCM_FORMAT_S16_LE);
  only_bit(&params, SNDRV_PCM_HW_PARAM_SUBFORMAT, (unsigned)SNDRV_PCM_SUBFORMAT_STD);
  only(&params, SNDRV_PCM_HW_PARAM_CHANNELS, 2);
  only(&params, SNDRV_PCM_HW_PARAM_RATE, RATE);
  only(&params, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
  only(&params, SNDRV_PCM_HW_PARAM_PERIODS, 16);
  if (ioctl(pcm, SNDRV_PCM_IOCTL_HW_PARAMS, &params)) return fail("hw_params");
  if (ioctl(pcm, SNDRV_PCM_IOCTL_PREPARE)) return fail("prepare");
  puts("playing");
  fflush(stdout);
  static int16_t samples[PERIOD * 2];
  for (uint64_t at = 0;;) {
    for (int n = 0; n < PERIOD; n++, at++)
      samples[2 * n] = samples[2 * n + 1] = (int16_t)(peak * sin(2 * M_PI * hertz * (double)(at % RATE) / RATE));
    struct snd_xferi transfer = {.buf = samples, .frames = PERIOD};
    // An emulated player may be late; then it begins again.
    if (ioctl(pcm, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &transfer) && ioctl(pcm, SNDRV_PCM_IOCTL_PREPARE)) return fail("write");
  }
}
