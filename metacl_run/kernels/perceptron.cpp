// SGD in small steps on a multi-layer perceptron with ReLU and cross-entropy, for many independent problems at once:
//
//   sgd         SGD on one small batch after another (MER takes one sample a step), all latency when made of torch operations
//   look_ahead  La-MAML's first-order meta-gradients along such a path, without ever storing the path
//
// P problems; L layers, sizes[0] inputs, sizes[l + 1] outputs of layer l; weights [P, out, in], offsets [P, out], row by row. The
// first layer is kept transposed inside, [in, out]: only the rows of inputs that are not zero are read and written, and in
// images of characters four in five are zero. A comparison with NaN lets NaN through: a diverged run has to show.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

struct Problem {
    int64_t P, G, S, L, threads;
    int64_t sizes[17];
};

template <typename T> struct Net {
    const Problem &s;
    std::vector<std::vector<T>> w, b;

    explicit Net(const Problem &s) : s(s), w(s.L), b(s.L) {}

    static void transpose(const T *from, T *to, int64_t rows, int64_t cols) {
        const int64_t block = 16;
        for (int64_t r = 0; r < rows; r += block)
            for (int64_t c = 0; c < cols; c += block)
                for (int64_t i = r; i < std::min(r + block, rows); ++i)
                    for (int64_t j = c; j < std::min(c + block, cols); ++j) to[j * rows + i] = from[i * cols + j];
    }

    void take(T *const *from_w, T *const *from_b, int64_t p) {
        for (int64_t l = 0; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            w[l].resize(in * out);
            b[l].assign(from_b[l] + p * out, from_b[l] + (p + 1) * out);
            if (l == 0)
                transpose(from_w[0] + p * in * out, w[0].data(), out, in);
            else
                std::copy_n(from_w[l] + p * in * out, in * out, w[l].data());
        }
    }

    void give(T *const *to_w, T *const *to_b, int64_t p) const {
        for (int64_t l = 0; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            std::copy_n(b[l].data(), out, to_b[l] + p * out);
            if (l == 0)
                transpose(w[0].data(), to_w[0] + p * in * out, in, out);
            else
                std::copy_n(w[l].data(), in * out, to_w[l] + p * in * out);
        }
    }

    // Cross-entropy of logits z [classes]; `top` becomes its derivative.
    static T entropy(const T *z, int64_t classes, int64_t y, T *top) {
        T most = z[0], total = 0;
        for (int64_t o = 1; o < classes; ++o) most = z[o] > most ? z[o] : most;
        for (int64_t o = 0; o < classes; ++o) total += top[o] = std::exp(z[o] - most);
        for (int64_t o = 0; o < classes; ++o) top[o] /= total;
        top[y] -= 1;
        return std::log(total) + most - z[y];
    }

    void pull(const std::vector<std::vector<T>> &w0, const std::vector<std::vector<T>> &b0, T beta) {
        for (int64_t l = 0; l < s.L; ++l) {
            for (size_t i = 0; i < w[l].size(); ++i) w[l][i] = w0[l][i] + beta * (w[l][i] - w0[l][i]);
            for (size_t i = 0; i < b[l].size(); ++i) b[l][i] = b0[l][i] + beta * (b[l][i] - b0[l][i]);
        }
    }
};

// A weighted batch: activations and deltas of every sample at a net's weights. `share` is each sample's part of the loss.
template <typename T> struct Batch {
    const Problem &s;
    int64_t B;
    std::vector<std::vector<T>> h, d;          // [L][B * out]
    std::vector<T> share;                      // [B]
    std::vector<std::vector<int64_t>> active;  // inputs of every sample that are not zero

    Batch(const Problem &s, int64_t B) : s(s), B(B), h(s.L), d(s.L), share(B), active(B) {
        for (int64_t l = 0; l < s.L; ++l) h[l].resize(B * s.sizes[l + 1]), d[l].resize(B * s.sizes[l + 1]);
    }

    // Takes samples u [B, in]; the loss is their weighted sum, over the sum of weights or 1 where that is
    // less. Returns the sum of the weights.
    T take(const T *u, const T *weight) {
        T counted = 0;
        for (int64_t b = 0; b < B; ++b) counted += weight[b];
        for (int64_t b = 0; b < B; ++b) {
            share[b] = weight[b] / (counted < 1 ? T(1) : counted);
            active[b].clear();
            if (share[b] == 0) continue;
            for (int64_t i = 0; i < s.sizes[0]; ++i)
                if (!(u[b * s.sizes[0] + i] == 0)) active[b].push_back(i);  // NaN is active
        }
        return counted;
    }

    // Forward and backward pass at the net's present weights. Returns the loss.
    T measure(const Net<T> &net, const T *u, const int64_t *y) {
        T loss = 0;
        for (int64_t b = 0; b < B; ++b) {
            if (share[b] == 0) continue;
            for (int64_t l = 0; l < s.L; ++l) {
                const int64_t in = s.sizes[l], out = s.sizes[l + 1];
                T *z = h[l].data() + b * out;
                std::copy_n(net.b[l].data(), out, z);
                if (l == 0) {
                    for (int64_t i : active[b]) {
                        const T *row = net.w[0].data() + i * out, value = u[b * in + i];
                        for (int64_t o = 0; o < out; ++o) z[o] += value * row[o];
                    }
                } else {
                    const T *below = h[l - 1].data() + b * in;
                    for (int64_t o = 0; o < out; ++o) {
                        const T *row = net.w[l].data() + o * in;
                        T sum = 0;
                        for (int64_t i = 0; i < in; ++i) sum += row[i] * below[i];
                        z[o] += sum;
                    }
                }
                if (l + 1 < s.L)
                    for (int64_t o = 0; o < out; ++o) z[o] = z[o] <= 0 ? T(0) : z[o];
            }
            const int64_t classes = s.sizes[s.L];
            const T *z = h[s.L - 1].data() + b * classes;
            T *top = d[s.L - 1].data() + b * classes;
            loss += share[b] * Net<T>::entropy(z, classes, y[b], top);
            for (int64_t o = 0; o < classes; ++o) top[o] *= share[b];
            for (int64_t l = s.L - 1; l > 0; --l) {
                const int64_t in = s.sizes[l], out = s.sizes[l + 1];
                T *below = d[l - 1].data() + b * in;
                const T *above = d[l].data() + b * out, *z = h[l - 1].data() + b * in;
                std::fill_n(below, in, T(0));
                for (int64_t o = 0; o < out; ++o) {
                    const T *row = net.w[l].data() + o * in, value = above[o];
                    for (int64_t i = 0; i < in; ++i) below[i] += value * row[i];
                }
                for (int64_t i = 0; i < in; ++i) below[i] = z[i] <= 0 ? T(0) : below[i];
            }
        }
        return loss;
    }

    // Moves the net by -rate * gradient of the loss just measured.
    void descend(Net<T> &net, const T *u, T rate) const {
        for (int64_t b = 0; b < B; ++b) {
            if (share[b] == 0) continue;
            for (int64_t l = 0; l < s.L; ++l) {
                const int64_t in = s.sizes[l], out = s.sizes[l + 1];
                const T *delta = d[l].data() + b * out;
                for (int64_t o = 0; o < out; ++o) net.b[l][o] -= rate * delta[o];
                if (l == 0) {
                    for (int64_t i : active[b]) {
                        const T value = rate * u[b * in + i];
                        T *row = net.w[0].data() + i * out;
                        for (int64_t o = 0; o < out; ++o) row[o] -= value * delta[o];
                    }
                } else {
                    const T *below = h[l - 1].data() + b * in;
                    for (int64_t o = 0; o < out; ++o) {
                        const T value = rate * delta[o];
                        T *row = net.w[l].data() + o * in;
                        for (int64_t i = 0; i < in; ++i) row[i] -= value * below[i];
                    }
                }
            }
        }
    }

    // The same for a batch of one sample, every element at a rate of its own.
    void descend(Net<T> &net, const T *u, const Net<T> &rates) const {
        for (int64_t l = 0; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            const T *delta = d[l].data();
            for (int64_t o = 0; o < out; ++o) net.b[l][o] -= rates.b[l][o] * delta[o];
            if (l == 0) {
                for (int64_t i : active[0]) {
                    T *row = net.w[0].data() + i * out;
                    const T *rate = rates.w[0].data() + i * out;
                    for (int64_t o = 0; o < out; ++o) row[o] -= u[i] * rate[o] * delta[o];
                }
                continue;
            }
            const T *below = h[l - 1].data();
            for (int64_t o = 0; o < out; ++o) {
                T *row = net.w[l].data() + o * in;
                const T *rate = rates.w[l].data() + o * in;
                for (int64_t i = 0; i < in; ++i) row[i] -= delta[o] * rate[i] * below[i];
            }
        }
    }
};

// G groups of S steps, each on a batch of B samples: x [P, G, S, B, in], y and weight [P, G, S, B]. The loss of a step is the weighted
// sum over its samples divided by the sum of weights, or by 1 where that is less; where it is 0 nothing moves. After each group: back
// to before + beta * (after - before). The parameters are moved where they lie; losses [P] is the mean over the steps, by their
// weights, each before its step.
template <typename T>
static void sgd(const Problem &s, int64_t B, double rate, double beta, T *const *weights, T *const *offsets, const T *x,
                const int64_t *y, const T *weight, T *losses) {
    const int64_t steps = s.G * s.S, inputs = s.sizes[0];
#pragma omp parallel for schedule(dynamic, 1) num_threads(int(std::min(s.threads, s.P))) if (s.threads > 1 && s.P > 1)
    for (int64_t p = 0; p < s.P; ++p) {
        Net<T> net(s);
        net.take(weights, offsets, p);
        Batch<T> batch(s, B);
        std::vector<std::vector<T>> w0(s.L), b0(s.L);
        T loss = 0, counted = 0;
        for (int64_t g = 0; g < s.G; ++g) {
            if (beta != 1) w0 = net.w, b0 = net.b;
            for (int64_t i = g * s.S; i < (g + 1) * s.S; ++i) {
                const int64_t at = (p * steps + i) * B;
                const T here = batch.take(x + at * inputs, weight + at);
                if (here == 0) continue;
                loss += std::max(here, T(1)) * batch.measure(net, x + at * inputs, y + at);
                counted += here;
                batch.descend(net, x + at * inputs, T(rate));
            }
            if (beta != 1) net.pull(w0, b0, T(beta));
        }
        losses[p] = counted == 0 ? T(0) : loss / counted;
        net.give(weights, offsets, p);
    }
}

// The gradients of the meta-batch summed up along the path.
//
// With g_j = delta_j x_j' the inner gradient of step j, G_i = sum_b D_bi u_bi' the meta-gradient after step i (u the layer's
// inputs, D the deltas of the weighted mean loss) and C_i = g_1 + .. + g_i:
//     along = mean_i G_i        rates = -mean_i C_i * G_i, element by element.
// Layers above the first sum these as they stand. In the first layer the inputs u_b do not change along the path, so with the
// suffix sums E_bj = sum over i >= j of D_bi
//     along = mean sum_b E_b1 u_b'        rates[., p] = -mean sum_j x_j[p] delta_j * (sum_b u_b[p] E_bj),
// and only inputs that are not zero count.
template <typename T> struct Ahead {
    const Problem &s;
    const int64_t B;
    const Batch<T> &batch;
    std::vector<std::vector<T>> sum_w, along_w, rates_w, sum_b, along_b, rates_b;
    std::vector<T> first, inner;                  // first layer's D of every step [S, B, out], delta of every step [S, out]

    Ahead(const Problem &s, const Batch<T> &batch)
        : s(s), B(batch.B), batch(batch), sum_w(s.L), along_w(s.L), rates_w(s.L), sum_b(s.L), along_b(s.L), rates_b(s.L) {
        for (int64_t l = 0; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            for (auto *each : {&along_w, &rates_w}) (*each)[l].assign(in * out, T(0));
            if (l) sum_w[l].assign(in * out, T(0));
            for (auto *each : {&sum_b, &along_b, &rates_b}) (*each)[l].assign(out, T(0));
        }
        first.assign(s.S * B * s.sizes[1], T(0)), inner.resize(s.S * s.sizes[1]);
    }

    // Adds what step j, measured in `step`, and the meta-batch after it contribute.
    void add(const Batch<T> &step, int64_t j) {
        const auto &delta = step.d, &hidden = step.h, &h = batch.h, &d = batch.d;
        const T *share = batch.share.data();
        const int64_t out0 = s.sizes[1];
        std::copy_n(delta[0].data(), out0, inner.data() + j * out0);
        std::copy_n(d[0].data(), B * out0, first.data() + j * B * out0);
        std::vector<T> total;
        for (int64_t l = 1; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            total.resize(in);
            for (int64_t o = 0; o < out; ++o) {
                std::fill_n(total.data(), in, T(0));
                T total_b = 0;
                for (int64_t b = 0; b < B; ++b) {
                    if (share[b] == 0) continue;
                    const T value = d[l][b * out + o], *below = h[l - 1].data() + b * in;
                    total_b += value;
                    for (int64_t i = 0; i < in; ++i) total[i] += value * below[i];
                }
                const T own = delta[l][o], *x = hidden[l - 1].data();
                T *sum = sum_w[l].data() + o * in, *along = along_w[l].data() + o * in, *rates = rates_w[l].data() + o * in;
                for (int64_t i = 0; i < in; ++i) {
                    sum[i] += own * x[i];
                    along[i] += total[i];
                    rates[i] -= sum[i] * total[i];
                }
                sum_b[l][o] += own;
                along_b[l][o] += total_b;
                rates_b[l][o] -= sum_b[l][o] * total_b;
            }
        }
    }

    // The first layer, once the path is over. x [S, in]: the samples of the steps.
    void finish(const T *x, const T *u) {
        const T *share = batch.share.data();
        const int64_t in = s.sizes[0], out = s.sizes[1];
        for (int64_t j = s.S - 2; j >= 0; --j)
            for (int64_t i = 0; i < B * out; ++i) first[j * B * out + i] += first[(j + 1) * B * out + i];
        std::vector<T> total(out);
        for (int64_t j = 0; j < s.S; ++j) {
            const T *E = first.data() + j * B * out, *own = inner.data() + j * out;
            std::fill_n(total.data(), out, T(0));
            for (int64_t b = 0; b < B; ++b)
                if (share[b] != 0)
                    for (int64_t o = 0; o < out; ++o) total[o] += E[b * out + o];
            for (int64_t o = 0; o < out; ++o) rates_b[0][o] -= own[o] * total[o];
            if (j == 0) along_b[0] = total;
        }
        std::vector<int64_t> lit(B);
        for (int64_t p = 0; p < in; ++p) {
            int64_t count = 0;
            for (int64_t b = 0; b < B; ++b)
                if (share[b] != 0 && !(u[b * in + p] == 0)) lit[count++] = b;
            if (count == 0) continue;
            T *along = along_w[0].data() + p * out, *rates = rates_w[0].data() + p * out;
            for (int64_t k = 0; k < count; ++k) {
                const T value = u[lit[k] * in + p], *E = first.data() + lit[k] * out;
                for (int64_t o = 0; o < out; ++o) along[o] += value * E[o];
            }
            for (int64_t j = 0; j < s.S; ++j) {
                if (x[j * in + p] == 0) continue;
                std::fill_n(total.data(), out, T(0));
                for (int64_t k = 0; k < count; ++k) {
                    const T value = u[lit[k] * in + p], *E = first.data() + (j * B + lit[k]) * out;
                    for (int64_t o = 0; o < out; ++o) total[o] += value * E[o];
                }
                const T value = x[j * in + p], *own = inner.data() + j * out;
                for (int64_t o = 0; o < out; ++o) rates[o] -= value * own[o] * total[o];
            }
        }
    }
};

// One look ahead: S inner steps on x [P, S, in], y [P, S], each with the rate of its element; after each the weighted mean loss on
// the meta-batch u [P, B, in], v, weight [P, B]. Out: its mean over the steps, losses [P], and that mean's derivatives with respect
// to the parameters, `along`, and to the rates, the inner gradients taken as constants (0 where a rate is not positive).
template <typename T>
static void look_ahead(const Problem &s, int64_t B, T *const *weights, T *const *offsets, T *const *rates_w, T *const *rates_b,
                       T *const *along_w, T *const *along_b, T *const *by_rate_w, T *const *by_rate_b, const T *x, const int64_t *y,
                       const T *u, const int64_t *v, const T *weight, T *losses) {
    const int64_t inputs = s.sizes[0];
#pragma omp parallel for schedule(dynamic, 1) num_threads(int(std::min(s.threads, s.P))) if (s.threads > 1 && s.P > 1)
    for (int64_t p = 0; p < s.P; ++p) {
        Net<T> net(s), rates(s);
        net.take(weights, offsets, p);
        rates.take(rates_w, rates_b, p);
        const T *xs = x + p * s.S * inputs, *us = u + p * B * inputs;
        Batch<T> batch(s, B);
        batch.take(us, weight + p * B);
        Ahead<T> ahead(s, batch);
        Batch<T> step(s, 1);
        const T whole = 1;
        T loss = 0;
        for (int64_t j = 0; j < s.S; ++j) {
            step.take(xs + j * inputs, &whole);
            step.measure(net, xs + j * inputs, y + p * s.S + j);
            step.descend(net, xs + j * inputs, rates);
            loss += batch.measure(net, us, v + p * B);
            ahead.add(step, j);
        }
        ahead.finish(xs, us);
        losses[p] = loss / s.S;
        for (int64_t l = 0; l < s.L; ++l) {
            const int64_t in = s.sizes[l], out = s.sizes[l + 1];
            for (size_t i = 0; i < ahead.along_w[l].size(); ++i) {
                ahead.along_w[l][i] /= s.S;
                ahead.rates_w[l][i] = rates.w[l][i] <= 0 ? T(0) : ahead.rates_w[l][i] / s.S;
            }
            for (int64_t o = 0; o < out; ++o) {
                along_b[l][p * out + o] = ahead.along_b[l][o] / s.S;
                by_rate_b[l][p * out + o] = rates.b[l][o] <= 0 ? T(0) : ahead.rates_b[l][o] / s.S;
            }
            T *to_along = along_w[l] + p * in * out, *to_rate = by_rate_w[l] + p * in * out;
            if (l == 0) {
                Net<T>::transpose(ahead.along_w[0].data(), to_along, in, out);
                Net<T>::transpose(ahead.rates_w[0].data(), to_rate, in, out);
            } else {
                std::copy_n(ahead.along_w[l].data(), in * out, to_along);
                std::copy_n(ahead.rates_w[l].data(), in * out, to_rate);
            }
        }
    }
}

#define EXPORT(T)                                                                                                                \
    extern "C" void perceptron_sgd_##T(const Problem *s, int64_t B, double rate, double beta, T *const *weights,             \
                                       T *const *offsets, const T *x, const int64_t *y, const T *weight, T *losses) {            \
        sgd<T>(*s, B, rate, beta, weights, offsets, x, y, weight, losses);                                                          \
    }                                                                                                                            \
    extern "C" void perceptron_look_ahead_##T(const Problem *s, int64_t B, T *const *weights, T *const *offsets, T *const *rw,   \
                                              T *const *rb, T *const *along_w, T *const *along_b, T *const *by_rate_w,           \
                                              T *const *by_rate_b, const T *x, const int64_t *y, const T *u, const int64_t *v,   \
                                              const T *weight, T *losses) {                                                      \
        look_ahead<T>(*s, B, weights, offsets, rw, rb, along_w, along_b, by_rate_w, by_rate_b, x, y, u, v, weight, losses);      \
    }
EXPORT(float)
EXPORT(double)
