// Batch norm (batch statistics) + ReLU + max pool, fused, with first and second derivatives.
//
// Tensors are [B, N, C, H, W]: B independent problems (episodes x replicates), N images, C channels. The statistics of
// problem b and channel c run over N, H, W. `x` and every tensor of its shape share one set of strides (sb, sn, sc) with
// H*W contiguous; tensors of pooled shape share (pb, pn, pc). Per-channel vectors are [B, C], contiguous. The pool is P x P
// with stride P and drops the border that does not fill a window (P = 1: no pool).
//
// One channel of one problem is small enough for the cache, so everything but x is recomputed from it: statistics, and which
// element of a window won. The inner loops have no branches, since which element wins is as good as random, and vectorise.
// A comparison with NaN must let NaN through (`z <= 0 ? 0 : z`, not `z > 0 ? z : 0`): a diverged run has to show.
// The formulas are derived in norm_relu_pool.py, beside the autograd functions that call these.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

struct Shape {
    int64_t B, N, C, H, W, P;
    int64_t sb, sn, sc;  // strides of x-shaped tensors, in elements
    int64_t pb, pn, pc;  // strides of pooled tensors, in elements
    int64_t threads;
};

// One channel of one problem: where it lies, its statistics, and z = k * x + d = scale * xhat + offset.
template <typename T> struct Channel {
    const Shape &s;
    const int32_t *windows;
    int64_t g, at, pooled_at, HW;
    double M;
    T m, r, k, d;

    Channel(const Shape &s, const int32_t *windows, int64_t g, const T *x, const T *scale, const T *offset, T eps)
        : s(s), windows(windows), g(g), at(g / s.C * s.sb + g % s.C * s.sc), pooled_at(g / s.C * s.pb + g % s.C * s.pc), HW(s.H * s.W),
          M(double(s.N * s.H * s.W)) {
        double total = 0, square = 0;
        for (int64_t n = 0; n < s.N; ++n) {  // partial sums of one image in T, added up in double
            const T *xn = x + at + n * s.sn;
            T t = 0;
            for (int64_t i = 0; i < HW; ++i) t += xn[i];
            total += t;
        }
        m = T(total / M);
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + at + n * s.sn;
            T q = 0;
            for (int64_t i = 0; i < HW; ++i) q += (xn[i] - m) * (xn[i] - m);
            square += q;
        }
        r = T(1.0 / std::sqrt(square / M + double(eps)));
        k = scale[g] * r;
        d = offset[g] - k * m;
    }
    int64_t image(int64_t n) const { return at + n * s.sn; }
    int64_t pooled(int64_t n) const { return pooled_at + n * s.pn; }
};

// ----------------------------------------------------------------------------------- 2 x 2 windows, one vector of them at a time

template <typename T> struct Lanes;
template <> struct Lanes<float> {
    typedef float V __attribute__((vector_size(32)));
    typedef int32_t Mask __attribute__((vector_size(32)));
};
template <> struct Lanes<double> {
    typedef double V __attribute__((vector_size(32)));
    typedef int64_t Mask __attribute__((vector_size(32)));
};
template <typename T> using Vec = typename Lanes<T>::V;
template <typename T> using Mask = typename Lanes<T>::Mask;
template <typename T> constexpr int64_t lanes = 32 / sizeof(T);

#ifdef __clang__
#define SHUFFLE(I, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(I, a, b, ...) __builtin_shuffle(a, b, I{__VA_ARGS__})
#endif
static inline Vec<float> evens(Vec<float> a, Vec<float> b) { return SHUFFLE(Mask<float>, a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
static inline Vec<float> odds(Vec<float> a, Vec<float> b) { return SHUFFLE(Mask<float>, a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
static inline Vec<float> zip_low(Vec<float> a, Vec<float> b) { return SHUFFLE(Mask<float>, a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
static inline Vec<float> zip_high(Vec<float> a, Vec<float> b) { return SHUFFLE(Mask<float>, a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
static inline Vec<double> evens(Vec<double> a, Vec<double> b) { return SHUFFLE(Mask<double>, a, b, 0, 2, 4, 6); }
static inline Vec<double> odds(Vec<double> a, Vec<double> b) { return SHUFFLE(Mask<double>, a, b, 1, 3, 5, 7); }
static inline Vec<double> zip_low(Vec<double> a, Vec<double> b) { return SHUFFLE(Mask<double>, a, b, 0, 4, 1, 5); }
static inline Vec<double> zip_high(Vec<double> a, Vec<double> b) { return SHUFFLE(Mask<double>, a, b, 2, 6, 3, 7); }

// A block of n windows, the first of which is window number p. In a row wide enough for a whole vector its windows lie side by
// side; in a narrow image they are picked one by one.
struct InRow {
    int64_t p, n;
    const int32_t *at;  // offset of the upper left element of each window
};
struct Picked {
    int64_t p, n;
    const int32_t *at;
};

// Left and right neighbours of one row of the windows, and back.
template <typename T> static inline void load_pairs(const T *from, InRow b, Vec<T> &left, Vec<T> &right) {
    Vec<T> v, w;
    std::memcpy(&v, from + b.at[0], sizeof v), std::memcpy(&w, from + b.at[0] + lanes<T>, sizeof w);
    left = evens(v, w), right = odds(v, w);
}
template <typename T> static inline void load_pairs(const T *from, Picked b, Vec<T> &left, Vec<T> &right) {
    left = right = Vec<T>{};
    if (b.n == lanes<T>)
        for (int64_t i = 0; i < lanes<T>; ++i) left[i] = from[b.at[i]], right[i] = from[b.at[i] + 1];
    else
        for (int64_t i = 0; i < b.n; ++i) left[i] = from[b.at[i]], right[i] = from[b.at[i] + 1];
}
template <typename T> static inline void store_pairs(T *to, InRow b, Vec<T> left, Vec<T> right) {
    const Vec<T> v = zip_low(left, right), w = zip_high(left, right);
    std::memcpy(to + b.at[0], &v, sizeof v), std::memcpy(to + b.at[0] + lanes<T>, &w, sizeof w);
}
template <typename T> static inline void store_pairs(T *to, Picked b, Vec<T> left, Vec<T> right) {
    if (b.n == lanes<T>)
        for (int64_t i = 0; i < lanes<T>; ++i) to[b.at[i]] = left[i], to[b.at[i] + 1] = right[i];
    else
        for (int64_t i = 0; i < b.n; ++i) to[b.at[i]] = left[i], to[b.at[i] + 1] = right[i];
}
template <typename T, typename Block> static inline Vec<T> load(const T *pooled, Block b) {
    Vec<T> v = {};
    if (b.n == lanes<T>)
        std::memcpy(&v, pooled + b.p, sizeof v);
    else
        for (int64_t i = 0; i < b.n; ++i) v[i] = pooled[b.p + i];
    return v;
}
template <typename T, typename Block> static inline void store(T *pooled, Block b, Vec<T> v) {
    if (b.n == lanes<T>)
        std::memcpy(pooled + b.p, &v, sizeof v);
    else
        for (int64_t i = 0; i < b.n; ++i) pooled[b.p + i] = v[i];
}

// Calls f(block) for blocks of windows that cover an image; the last ones may overlap.
template <typename T, typename F> static inline void each_block(const Shape &s, const int32_t *at, F f) {
    const int64_t Ho = s.H / 2, Wo = s.W / 2, all = Ho * Wo, n = std::min(all, lanes<T>);
    if (Wo >= lanes<T>)
        for (int64_t i = 0; i < all; i += Wo)
            for (int64_t j = 0; j < Wo; j += lanes<T>) {
                const int64_t p = i + std::min(j, Wo - lanes<T>);
                f(InRow{p, lanes<T>, at + p});
            }
    else
        for (int64_t i = 0; i < all; i += lanes<T>) {
            const int64_t p = std::min(i, all - n);
            f(Picked{p, n, at + p});
        }
}

// The four elements of n windows side by side, and which of them wins: the first of the largest, as in torch.
template <typename T> struct Windows {
    Vec<T> x0, x1, x2, x3, best;
    Mask<T> right_above, right_below, below, off;

    template <typename Block> Windows(const Channel<T> &c, const T *x, Block b) {
        load_pairs(x, b, x0, x1), load_pairs(x + c.s.W, b, x2, x3);
        const Vec<T> z0 = c.k * x0 + c.d, z1 = c.k * x1 + c.d, z2 = c.k * x2 + c.d, z3 = c.k * x3 + c.d;
        right_above = z1 > z0, right_below = z3 > z2;
        const Vec<T> above = right_above ? z1 : z0, under = right_below ? z3 : z2;
        below = under > above;
        best = below ? under : above;
        off = best <= T(0);
    }
    Vec<T> winner(Vec<T> v0, Vec<T> v1, Vec<T> v2, Vec<T> v3) const {
        return below ? (right_below ? v3 : v2) : (right_above ? v1 : v0);
    }
};

// ------------------------------------------------------------------------------------------------------------ one image

// The offset of the winner of window (i, j), or -1 when the ReLU is off there; for pools other than 2 x 2.
template <typename T> static inline int64_t winner(const Channel<T> &c, const T *x, int64_t i, int64_t j) {
    const int64_t W = c.s.W, P = c.s.P;
    T best = 0;
    int64_t at = -1;
    for (int64_t u = 0; u < P; ++u)
        for (int64_t v = 0; v < P; ++v) {
            const int64_t o = (i * P + u) * W + j * P + v;
            const T z = c.k * x[o] + c.d;
            if (!(z <= best)) best = z, at = o;
        }
    return at;
}

// y = max_pool(relu(k * x + d)).
template <typename T> static void pool(const Channel<T> &c, const T *__restrict x, T *__restrict y) {
    const int64_t W = c.s.W, P = c.s.P, Ho = c.s.H / P, Wo = W / P;
    if (P == 1) {
        for (int64_t i = 0; i < c.HW; ++i) {
            const T z = c.k * x[i] + c.d;
            y[i] = z <= 0 ? T(0) : z;
        }
    } else if (P == 2) {
        each_block<T>(c.s, c.windows, [&](auto b) {
            const Windows<T> w(c, x, b);
            store<T>(y, b, w.off ? Vec<T>{} : w.best);
        });
    } else {
        for (int64_t i = 0; i < Ho; ++i)
            for (int64_t j = 0; j < Wo; ++j) {
                const int64_t at = winner(c, x, i, j);
                y[i * Wo + j] = at < 0 ? T(0) : c.k * x[at] + c.d;
            }
    }
}

// gz: the gradient gy put where the winners are, zero elsewhere.
template <typename T> static void unpool(const Channel<T> &c, const T *__restrict x, const T *__restrict gy, T *__restrict gz) {
    const int64_t W = c.s.W, P = c.s.P, Ho = c.s.H / P, Wo = W / P;
    if (P == 1) {
        for (int64_t i = 0; i < c.HW; ++i) gz[i] = c.k * x[i] + c.d <= 0 ? T(0) : gy[i];
    } else if (P == 2) {
        each_block<T>(c.s, c.windows, [&](auto b) {
            const Windows<T> w(c, x, b);
            const Vec<T> zero = {}, g = w.off ? zero : load(gy, b);
            const Vec<T> above = w.below ? zero : g, under = w.below ? g : zero;
            store_pairs<T>(gz, b, w.right_above ? zero : above, w.right_above ? above : zero);
            store_pairs<T>(gz + W, b, w.right_below ? zero : under, w.right_below ? under : zero);
        });
        if (W % 2)
            for (int64_t i = 0; i < 2 * Ho; ++i) gz[i * W + W - 1] = 0;
        for (int64_t i = 2 * Ho * W; i < c.HW; ++i) gz[i] = 0;
    } else {
        for (int64_t i = 0; i < c.HW; ++i) gz[i] = 0;
        for (int64_t i = 0; i < Ho; ++i)
            for (int64_t j = 0; j < Wo; ++j) {
                const int64_t at = winner(c, x, i, j);
                if (at >= 0) gz[at] = gy[i * Wo + j];
            }
    }
}

// ggy = za * a + zx * x + z0 at the winners, zero where the ReLU is off.
template <typename T>
static void gather(const Channel<T> &c, const T *__restrict x, const T *__restrict a, T za, T zx, T z0, T *__restrict ggy) {
    const int64_t W = c.s.W, P = c.s.P, Ho = c.s.H / P, Wo = W / P;
    if (P == 1) {
        for (int64_t i = 0; i < c.HW; ++i) {
            const T value = za * a[i] + (zx * x[i] + z0);
            ggy[i] = c.k * x[i] + c.d <= 0 ? T(0) : value;
        }
    } else if (P == 2) {
        each_block<T>(c.s, c.windows, [&](auto b) {
            const Windows<T> w(c, x, b);
            Vec<T> a0, a1, a2, a3;
            load_pairs(a, b, a0, a1), load_pairs(a + W, b, a2, a3);
            const Vec<T> value = za * w.winner(a0, a1, a2, a3) + (zx * w.winner(w.x0, w.x1, w.x2, w.x3) + z0);
            store<T>(ggy, b, w.off ? Vec<T>{} : value);
        });
    } else {
        for (int64_t i = 0; i < Ho; ++i)
            for (int64_t j = 0; j < Wo; ++j) {
                const int64_t at = winner(c, x, i, j);
                ggy[i * Wo + j] = at < 0 ? T(0) : za * a[at] + (zx * x[at] + z0);
            }
    }
}

// --------------------------------------------------------------------------------------------------------- the operations

static std::vector<int32_t> window_offsets(const Shape &s) {
    std::vector<int32_t> at;
    if (s.P == 2)
        for (int64_t i = 0; i < s.H / 2; ++i)
            for (int64_t j = 0; j < s.W / 2; ++j) at.push_back(int32_t(2 * (i * s.W + j)));
    return at;
}

template <typename T> static void forward(const Shape &s, T eps, const T *x, const T *scale, const T *offset, T *y) {
    const std::vector<int32_t> windows = window_offsets(s);
#pragma omp parallel for schedule(static) num_threads(s.threads)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const Channel<T> c(s, windows.data(), g, x, scale, offset, eps);
        for (int64_t n = 0; n < s.N; ++n) pool(c, x + c.image(n), y + c.pooled(n));
    }
}

template <typename T>
static void backward(const Shape &s, T eps, const T *x, const T *scale, const T *offset, const T *gy, T *gx, T *gscale,
                     T *goffset) {
    const std::vector<int32_t> windows = window_offsets(s);
#pragma omp parallel for schedule(static) num_threads(s.threads)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const Channel<T> c(s, windows.data(), g, x, scale, offset, eps);
        double s1 = 0, s2 = 0;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + c.image(n);
            T *gz = gx + c.image(n), t1 = 0, t2 = 0;
            unpool(c, xn, gy + c.pooled(n), gz);
            for (int64_t i = 0; i < c.HW; ++i) {
                t1 += gz[i];
                t2 += gz[i] * (xn[i] - c.m);
            }
            s1 += t1;
            s2 += t2;
        }
        s2 *= double(c.r);
        gscale[g] = T(s2);
        goffset[g] = T(s1);
        // gx = k * (gz - s1 / M - xhat * s2 / M) = k * gz + (d0 + d1 * x)
        const T k = c.k, d1 = -k * T(s2 / c.M) * c.r, d0 = -k * T(s1 / c.M) - d1 * c.m;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + c.image(n);
            T *on = gx + c.image(n);
            for (int64_t i = 0; i < c.HW; ++i) on[i] = k * on[i] + (d0 + d1 * xn[i]);
        }
    }
}

// Given cotangents a (of gx), b (of gscale) and c (of goffset): the gradients of `backward` with respect to gy, x, scale.
template <typename T>
static void double_backward(const Shape &s, T eps, const T *x, const T *scale, const T *offset, const T *gy, const T *a,
                            const T *cotangent_scale, const T *cotangent_offset, T *ggy, T *xx, T *gscale) {
    const std::vector<int32_t> windows = window_offsets(s);
#pragma omp parallel for schedule(static) num_threads(s.threads)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const Channel<T> c(s, windows.data(), g, x, scale, offset, eps);
        double s1 = 0, s2 = 0, K = 0, sa = 0, sax = 0;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + c.image(n), *an = a + c.image(n);
            T *gz = xx + c.image(n), t1 = 0, t2 = 0, tk = 0, ta = 0, tax = 0;
            unpool(c, xn, gy + c.pooled(n), gz);
            for (int64_t i = 0; i < c.HW; ++i) {
                const T centred = xn[i] - c.m;
                t1 += gz[i];
                t2 += gz[i] * centred;
                tk += gz[i] * an[i];
                ta += an[i];
                tax += an[i] * centred;
            }
            s1 += t1;
            s2 += t2;
            K += tk;
            sa += ta;
            sax += tax;
        }
        const double r = c.r, m = c.m, M = c.M, gamma = scale[g], gr = gamma * r;
        s2 *= r;
        sax *= r;
        const double am = sa / M, q = sax / M, beta = double(cotangent_scale[g]), delta = double(cotangent_offset[g]);
        const double core = K - s1 * am - s2 * q;
        gscale[g] = T(r * core);
        // h = d/dxhat: h_i = hz * gz_i + ha * a_i;  xx_i = r (h_i - mean(h) - xhat_i mean(h xhat)) - gamma core r^2 xhat_i / M
        const double hz = beta - gr * q, ha = -gr * s2 / M;
        const double hmean = (hz * s1 + ha * sa) / M, hxmean = (hz * s2 + ha * sax) / M;
        const double kx = (-r * hxmean - gamma * core * r * r / M) * r;  // times (x - m)
        const T kz = T(r * hz), ka = T(r * ha), k1 = T(kx), k0 = T(-r * hmean - kx * m);
        const T za = T(gr), zx = T(hz * r), z0 = T(delta - gr * am - hz * r * m);
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + c.image(n), *an = a + c.image(n);
            T *on = xx + c.image(n);
            for (int64_t i = 0; i < c.HW; ++i) on[i] = kz * on[i] + (k0 + k1 * xn[i] + ka * an[i]);
            gather(c, xn, an, za, zx, z0, ggy + c.pooled(n));
        }
    }
}

#define EXPORT(T)                                                                                                      \
    extern "C" void forward_##T(const Shape *s, double eps, const T *x, const T *scale, const T *offset, T *y) {       \
        forward<T>(*s, T(eps), x, scale, offset, y);                                                                   \
    }                                                                                                                  \
    extern "C" void backward_##T(const Shape *s, double eps, const T *x, const T *scale, const T *offset, const T *gy, \
                                 T *gx, T *gscale, T *goffset) {                                                       \
        backward<T>(*s, T(eps), x, scale, offset, gy, gx, gscale, goffset);                                            \
    }                                                                                                                  \
    extern "C" void double_backward_##T(const Shape *s, double eps, const T *x, const T *scale, const T *offset,       \
                                        const T *gy, const T *a, const T *b, const T *c, T *ggy, T *xx, T *gscale) {   \
        double_backward<T>(*s, T(eps), x, scale, offset, gy, a, b, c, ggy, xx, gscale);                                \
    }
EXPORT(float)
EXPORT(double)
