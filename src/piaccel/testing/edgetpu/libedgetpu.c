/* A libedgetpu without a TPU: the same C interface and TensorFlow Lite delegate, the same refusals, on any computer.
 *
 * It takes every edgetpu-custom-op; byte i of an output is byte i * (bytes in) / (bytes out) of the first input.
 * What it pretends is told by the environment, read at each call:
 *   PIACCEL_FAKE_EDGETPU          "" (all is well), no-device, permission, busy, refuse, crash-on-load, hang-on-load,
 *                                 crash-on-prepare, crash-on-invoke, lost-after:N (runs since a delegate was made; then gone)
 *   PIACCEL_FAKE_EDGETPU_DEVICES  "usb:/sys/bus/usb/devices/2-1" when not given; several with commas, "pci:/dev/apex_0"
 * A delegate option "mode" stands above the environment; "take" names another operator to take.
 * Interface and behaviour: libedgetpu, tflite/edgetpu_c.cc, edgetpu_delegate_for_custom_op.cc and _tflite_plugin.cc.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tflite_abi.h"

enum { MOST_DEVICES = 8, LONGEST = 256 };
enum { PCI = 0, USB = 1 };

struct edgetpu_device {
  int type;
  const char* path;
};

struct fake {
  TfLiteDelegate delegate; /* first, so that a pointer to it is a pointer to this */
  char mode[LONGEST];
  char take[LONGEST];
  char path[LONGEST];
};

static int runs = 0;
static int verbosity = 0;

static const char* environment(const char* name, const char* usual) {
  const char* value = getenv(name);
  return value && *value ? value : usual;
}

static void keep(char* into, const char* text) { snprintf(into, LONGEST, "%s", text); }

static const char* mode_of(const struct fake* fake) {
  static char last[LONGEST];
  const char* mode = fake && *fake->mode ? fake->mode : environment("PIACCEL_FAKE_EDGETPU", "");
  if (strcmp(mode, last) != 0) { /* a lost device is back when another mode is told */
    keep(last, mode);
    runs = 0;
  }
  return mode;
}

static bool is(const char* mode, const char* name) { return strcmp(mode, name) == 0; }

static bool lost(const char* mode) {
  const char* name = "lost-after:";
  return strncmp(mode, name, strlen(name)) == 0 && runs >= atoi(mode + strlen(name));
}

struct edgetpu_device* edgetpu_list_devices(size_t* count) {
  const char* mode = mode_of(NULL);
  *count = 0;
  if (is(mode, "no-device") || lost(mode)) return NULL;
  const char* stated = environment("PIACCEL_FAKE_EDGETPU_DEVICES", "usb:/sys/bus/usb/devices/2-1");
  struct edgetpu_device* devices = malloc(MOST_DEVICES * sizeof *devices + strlen(stated) + 1);
  char* text = strcpy((char*)(devices + MOST_DEVICES), stated);
  char* rest = NULL;
  for (char* one = strtok_r(text, ",", &rest); one && *count < MOST_DEVICES; one = strtok_r(NULL, ",", &rest)) {
    devices[*count].type = strncmp(one, "usb:", 4) == 0 ? USB : PCI;
    devices[(*count)++].path = one + 4;
  }
  return devices;
}

void edgetpu_free_devices(struct edgetpu_device* devices) { free(devices); }

const char* edgetpu_version(void) { return "BuildLabel(piaccel fake), RuntimeVersion(14)"; }

void edgetpu_verbosity(int level) { verbosity = level; }

static void log_line(const char* text) {
  if (verbosity > 0) fprintf(stderr, "I tflite/edgetpu_context_direct.cc:401] %s\n", text);
}

/* The path of the device that the option names; "" when there is none such. */
static void find(const char* device, char* path) {
  size_t count;
  struct edgetpu_device* devices = edgetpu_list_devices(&count);
  const char* colon = strchr(device, ':');
  int left = colon ? atoi(colon + 1) : 0;
  path[0] = '\0';
  for (size_t i = 0; i < count && !*path; i++) {
    const char* kind = devices[i].type == USB ? "usb" : "pci";
    bool fits = device[0] == '\0' || device[0] == ':' || strncmp(device, kind, 3) == 0;
    if (fits && left-- == 0) keep(path, devices[i].path);
  }
  edgetpu_free_devices(devices);
}

static bool opens(const char* mode, const char* path) {
  const char* kind = strncmp(path, "/dev/", 5) == 0 ? "Apex (PCIe)" : "Apex (USB)";
  char line[2 * LONGEST];
  const char* why = is(mode, "permission") ? "Not found: OpenDevice"
                    : is(mode, "busy")     ? "Deadline exceeded: USB error -6 [ClaimInterface]"
                    : is(mode, "refuse")   ? "Unknown: USB error -1 [SetConfiguration]"
                                           : NULL;
  if (!why) return true;
  snprintf(line, sizeof line, "Failed to open device [%s] at [%s]: %s", kind, path, why);
  log_line(line);
  return false;
}

static void report_loss(TfLiteContext* context) {
  context->ReportError(context, "Failed to execute request. %s", "Not found: USB transfer error 5 [LibUsbDataOutCallback]");
}

static TfLiteStatus prepare_node(TfLiteContext* context, TfLiteNode* node) {
  (void)context, (void)node;
  return kTfLiteOk;
}

static void* init_node(TfLiteContext* context, const char* buffer, size_t length) {
  (void)context, (void)length;
  return *(void* const*)buffer; /* TfLiteDelegateParams begins with the delegate */
}

static TfLiteStatus run_node(TfLiteContext* context, TfLiteNode* node) {
  const char* mode = mode_of(node->user_data);
  if (is(mode, "crash-on-invoke")) raise(SIGSEGV);
  if (lost(mode) || is(mode, "no-device")) {
    report_loss(context);
    return kTfLiteError;
  }
  runs++;
  const TfLiteTensor* in = &context->tensors[node->inputs->data[0]];
  for (int i = 0; i < node->outputs->size; i++) {
    TfLiteTensor* out = &context->tensors[node->outputs->data[i]];
    for (size_t byte = 0; byte < out->bytes; byte++)
      ((uint8_t*)out->data)[byte] = ((const uint8_t*)in->data)[byte * in->bytes / out->bytes];
  }
  return kTfLiteOk;
}

static TfLiteStatus take_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  struct fake* fake = (struct fake*)delegate;
  if (is(mode_of(fake), "crash-on-prepare")) raise(SIGSEGV);
  TfLiteIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  int* ours = malloc((size_t)(plan->size + 1) * sizeof *ours);
  int count = 0;
  for (int i = 0; i < plan->size; i++) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) != kTfLiteOk) continue;
    if (registration->custom_name && is(registration->custom_name, fake->take)) ours[count++] = plan->data[i];
  }
  TfLiteRegistration kernel = {0};
  kernel.init = init_node;
  kernel.prepare = prepare_node;
  kernel.invoke = run_node;
  kernel.custom_name = "EdgeTpuDelegateForCustomOp";
  kernel.version = 1;
  for (int i = 0; i < count; i++) {
    struct {
      int size, data[1];
    } one = {1, {ours[i]}};
    context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, (TfLiteIntArray*)&one, delegate);
  }
  free(ours);
  return kTfLiteOk;
}

TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  (void)report; /* as in the original, which says nothing here */
  struct fake* fake = calloc(1, sizeof *fake);
  const char* device = "";
  keep(fake->take, "edgetpu-custom-op");
  for (size_t i = 0; i < count; i++) {
    if (is(keys[i], "device")) device = values[i];
    if (is(keys[i], "mode")) keep(fake->mode, values[i]);
    if (is(keys[i], "take")) keep(fake->take, values[i]);
  }
  const char* mode = mode_of(fake);
  if (is(mode, "crash-on-load")) raise(SIGSEGV);
  while (is(mode, "hang-on-load")) sleep(1);
  find(device, fake->path);
  if (!*fake->path || !opens(mode, fake->path)) {
    free(fake);
    return NULL;
  }
  runs = 0;
  fake->delegate.Prepare = take_nodes;
  fake->delegate.flags = 1; /* kTfLiteDelegateFlagsAllowDynamicTensors */
  return &fake->delegate;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) { free(delegate); }
