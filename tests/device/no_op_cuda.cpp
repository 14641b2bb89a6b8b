// A CUDA device that does nothing, so that fake tensors may say they are on "cuda": in torch builds without CUDA, in those with
// it on machines without a card, and in place of a card that is there.
//
// torch asks a device for two things, even where nothing is computed: a guard (to index a tensor, say) and hooks (autograd's
// engine asks whether there is an accelerator). Compiled against torch's own headers; on and off by the two functions below.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {

const c10::Device the_device{c10::DeviceType::CUDA, 0};
const c10::Stream the_stream{c10::Stream::DEFAULT, the_device};

struct NoOpGuard final : c10::impl::DeviceGuardImplInterface {
    c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
    c10::Device exchangeDevice(c10::Device) const override { return the_device; }
    c10::Device getDevice() const override { return the_device; }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::Stream getStream(c10::Device) const override { return the_stream; }
    c10::Stream getDefaultStream(c10::Device) const override { return the_stream; }
    c10::Stream getNewStream(c10::Device, int) const override { return the_stream; }
    c10::Stream exchangeStream(c10::Stream) const override { return the_stream; }
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }
    void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
    void block(void*, const c10::Stream&) const override {}
    bool queryEvent(void*) const override { return true; }
    void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
    bool queryStream(const c10::Stream&) const override { return true; }
    void synchronizeStream(const c10::Stream&) const override {}
    void synchronizeEvent(void*) const override {}
};

struct NoOpHooks final : at::CUDAHooksInterface {
    explicit NoOpHooks(at::CUDAHooksArgs) {}
    void init() const override {}
    bool hasCUDA() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex current_device() const override { return 0; }
    int getNumGPUs() const override { return 1; }
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
};

void* replaced = nullptr;
const c10::impl::DeviceGuardImplInterface* replaced_guard = nullptr;

// The hooks that torch makes at its import are an object without members: it becomes ours with our table of virtual functions.
void** table_of_hooks() {
    return reinterpret_cast<void**>(const_cast<at::CUDAHooksInterface*>(&at::detail::getCUDAHooks()));
}

auto& place_of_guard() { return c10::impl::device_guard_impl_registry[static_cast<size_t>(c10::DeviceType::CUDA)]; }

}  // namespace

// Returns 1 where the device is there now, 0 where it was already.
extern "C" int no_op_cuda_on() {
    static const NoOpGuard guard;
    static const NoOpHooks hooks{at::CUDAHooksArgs{}};
    if (replaced != nullptr) return 0;
    replaced_guard = place_of_guard().exchange(&guard);
    replaced = *table_of_hooks();
    *table_of_hooks() = *reinterpret_cast<void* const*>(&hooks);
    return 1;
}

extern "C" void no_op_cuda_off() {
    if (replaced == nullptr) return;
    place_of_guard().store(replaced_guard);
    *table_of_hooks() = replaced;
    replaced = nullptr;
}
