// Batch norm (batch statistics) + ReLU + max pool, fused, with first and second derivatives.
//
// Tensors are [B, N, C, H, W]: B independent problems (episodes x replicates), N images, C channels. The statistics of
// problem b and channel c run over N, H, W. `x` and every tensor of its shape share one set of strides (sb, sn, sc) with
// H*W contiguous; everything of pooled shape is contiguous in the order of its own strides (pb, pn, pc). Per-channel
// vectors are [B, C], contiguous. The pool is P x P with stride P and drops the border that does not fill a window (P = 1: none).
//
// index[pooled] = offset of the winning element inside its window (row * P + column), or 255 when the ReLU is off there.
// The formulas are derived in norm_relu_pool.py, beside the autograd function that calls these.
#include <cmath>
#include <cstdint>

template <typename T> struct Acc { using type = double; };
template <> struct Acc<float> { using type = float; };

struct Shape {
    int64_t B, N, C, H, W, P;
    int64_t sb, sn, sc;  // strides of x-shaped tensors, in elements
    int64_t pb, pn, pc;  // strides of pooled tensors, in elements
};

// Sums are blocked by image: float partial sums of at most H*W terms, added up in double.
template <typename T>
static void forward(const Shape &s, const T *x, const T *scale, const T *offset, T eps, T *y, uint8_t *index, T *mean,
                    T *rstd) {
    using A = typename Acc<T>::type;
    const int64_t HW = s.H * s.W, Ho = s.H / s.P, Wo = s.W / s.P, P = s.P;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const int64_t b = g / s.C, c = g % s.C;
        const T *xg = x + b * s.sb + c * s.sc;
        const int64_t pg = b * s.pb + c * s.pc;
        double total = 0, square = 0;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = xg + n * s.sn;
            A t = 0;
#pragma omp simd reduction(+ : t)
            for (int64_t i = 0; i < HW; ++i) t += xn[i];
            total += t;
        }
        const double mu = total / double(s.N * HW);
        const T m = T(mu);
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = xg + n * s.sn;
            A q = 0;
#pragma omp simd reduction(+ : q)
            for (int64_t i = 0; i < HW; ++i) q += (xn[i] - m) * (xn[i] - m);
            square += q;
        }
        const T r = T(1.0 / std::sqrt(square / double(s.N * HW) + double(eps)));
        mean[g] = m;
        rstd[g] = r;
        const T k = scale[g] * r, d = offset[g] - scale[g] * r * m;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = xg + n * s.sn;
            T *yn = y + pg + n * s.pn;
            uint8_t *jn = index + pg + n * s.pn;
            if (P == 2) {
                for (int64_t i = 0; i < Ho; ++i) {
                    const T *row = xn + 2 * i * s.W, *next = row + s.W;
                    T *yi = yn + i * Wo;
                    uint8_t *ji = jn + i * Wo;
                    for (int64_t j = 0; j < Wo; ++j) {
                        const T z0 = k * row[2 * j] + d, z1 = k * row[2 * j + 1] + d;
                        const T z2 = k * next[2 * j] + d, z3 = k * next[2 * j + 1] + d;
                        const T top = z1 > z0 ? z1 : z0, low = z3 > z2 ? z3 : z2;
                        const uint8_t jt = z1 > z0 ? 1 : 0, jl = z3 > z2 ? 3 : 2;
                        const T best = low > top ? low : top;
                        const uint8_t jb = low > top ? jl : jt;
                        yi[j] = best <= 0 ? T(0) : best;  // not "best > 0 ? best : 0": NaN must pass
                        ji[j] = best <= 0 ? uint8_t(255) : jb;
                    }
                }
            } else if (P == 1) {
                for (int64_t i = 0; i < HW; ++i) {
                    const T z = k * xn[i] + d;
                    yn[i] = z <= 0 ? T(0) : z;
                    jn[i] = z <= 0 ? 255 : 0;
                }
            } else {
                for (int64_t i = 0; i < Ho; ++i)
                    for (int64_t j = 0; j < Wo; ++j) {
                        T best = 0;
                        uint8_t at = 255;
                        for (int64_t u = 0; u < P; ++u)
                            for (int64_t v = 0; v < P; ++v) {
                                const T z = k * xn[(i * P + u) * s.W + j * P + v] + d;
                                if (!(z <= best)) best = z, at = uint8_t(u * P + v);
                            }
                        yn[i * Wo + j] = best;
                        jn[i * Wo + j] = at;
                    }
            }
        }
    }
}

// Visits every live pooled element of one channel: f(offset in x of the winner, offset in pooled).
template <typename F> static inline void winners(const Shape &s, const uint8_t *jn, F f) {
    const int64_t Ho = s.H / s.P, Wo = s.W / s.P, P = s.P;
    for (int64_t i = 0; i < Ho; ++i)
        for (int64_t j = 0; j < Wo; ++j) {
            const uint8_t at = jn[i * Wo + j];
            if (at == 255) continue;
            const int64_t u = P == 1 ? 0 : (P == 2 ? at >> 1 : at / P), v = P == 1 ? 0 : (P == 2 ? at & 1 : at % P);
            f((i * P + u) * s.W + j * P + v, i * Wo + j);
        }
}

template <typename T>
static void backward(const Shape &s, const T *x, const T *scale, const T *mean, const T *rstd, const uint8_t *index,
                     const T *gy, T *gx, T *gscale, T *goffset) {
    const int64_t HW = s.H * s.W;
    const double M = double(s.N * HW);
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const int64_t b = g / s.C, c = g % s.C, xg = b * s.sb + c * s.sc, pg = b * s.pb + c * s.pc;
        const T m = mean[g], r = rstd[g];
        double s1 = 0, s2 = 0;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + xg + n * s.sn, *gn = gy + pg + n * s.pn;
            T t1 = 0, t2 = 0;
            winners(s, index + pg + n * s.pn, [&](int64_t at, int64_t p) {
                t1 += gn[p];
                t2 += gn[p] * (xn[at] - m) * r;
            });
            s1 += t1;
            s2 += t2;
        }
        gscale[g] = T(s2);
        goffset[g] = T(s1);
        const T k = scale[g] * r;
        // gx = k * (gz - s1 / M - xhat * s2 / M) = k * gz + (d0 + d1 * x)
        const T d1 = -k * T(s2 / M) * r, d0 = -k * T(s1 / M) - d1 * m;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + xg + n * s.sn, *gn = gy + pg + n * s.pn;
            T *on = gx + xg + n * s.sn;
#pragma omp simd
            for (int64_t i = 0; i < HW; ++i) on[i] = d0 + d1 * xn[i];
            winners(s, index + pg + n * s.pn, [&](int64_t at, int64_t p) { on[at] += k * gn[p]; });
        }
    }
}

// Given cotangents a (of gx), b (of gscale) and c (of goffset), the gradients of the backward pass with respect to gy, x, scale.
template <typename T>
static void double_backward(const Shape &s, const T *x, const T *scale, const T *mean, const T *rstd,
                            const uint8_t *index, const T *gy, const T *a, const T *cb, const T *cc, T *ggy, T *xx,
                            T *gscale) {
    using A = typename Acc<T>::type;
    const int64_t HW = s.H * s.W, Ho = s.H / s.P, Wo = s.W / s.P;
    const double M = double(s.N * HW);
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < s.B * s.C; ++g) {
        const int64_t b = g / s.C, c = g % s.C, xg = b * s.sb + c * s.sc, pg = b * s.pb + c * s.pc;
        const T m = mean[g], r = rstd[g], gamma = scale[g];
        double s1 = 0, s2 = 0, K = 0, sa = 0, sax = 0;
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + xg + n * s.sn, *an = a + xg + n * s.sn, *gn = gy + pg + n * s.pn;
            A ta = 0, tax = 0;
#pragma omp simd reduction(+ : ta, tax)
            for (int64_t i = 0; i < HW; ++i) {
                ta += an[i];
                tax += an[i] * (xn[i] - m);
            }
            T t1 = 0, t2 = 0, tk = 0;
            winners(s, index + pg + n * s.pn, [&](int64_t at, int64_t p) {
                t1 += gn[p];
                t2 += gn[p] * (xn[at] - m) * r;
                tk += gn[p] * an[at];
            });
            sa += ta;
            sax += double(tax) * r;
            s1 += t1;
            s2 += t2;
            K += tk;
        }
        const double am = sa / M, q = sax / M, gr = double(gamma) * r, beta = double(cb[g]), delta = double(cc[g]);
        const double core = K - s1 * am - s2 * q, rho = double(gamma) * core;
        gscale[g] = T(r * core);
        // h = d/dxhat: h_i = gr * (-gz_i q - s2 a_i / M) + beta gz_i
        const double hz = beta - gr * q, ha = -gr * s2 / M;
        const double hmean = (hz * s1 + ha * sa) / M, hxmean = (hz * s2 + ha * sax) / M;
        // xx_i = r (h_i - hmean - xhat_i hxmean) - rho r^2 xhat_i / M
        const T ka = T(r * ha), kz = T(r * hz);
        const double kx = (-r * hxmean - rho * r * r / M) * r;  // times (x - m)
        const T k1 = T(kx), k0 = T(-r * hmean - kx * m);
        const T za = T(gr), zx = T((beta - gr * q) * r), z0 = T(delta - gr * am - (beta - gr * q) * r * m);
        for (int64_t n = 0; n < s.N; ++n) {
            const T *xn = x + xg + n * s.sn, *an = a + xg + n * s.sn, *gn = gy + pg + n * s.pn;
            T *on = xx + xg + n * s.sn, *gg = ggy + pg + n * s.pn;
#pragma omp simd
            for (int64_t i = 0; i < HW; ++i) on[i] = k0 + k1 * xn[i] + ka * an[i];
            for (int64_t p = 0; p < Ho * Wo; ++p) gg[p] = T(0);
            winners(s, index + pg + n * s.pn, [&](int64_t at, int64_t p) {
                on[at] += kz * gn[p];
                gg[p] = za * an[at] + zx * xn[at] + z0;
            });
        }
    }
}

#define EXPORT(T, NAME)                                                                                                \
    extern "C" void forward_##NAME(const Shape *s, const T *x, const T *scale, const T *offset, double eps, T *y,      \
                                   uint8_t *index, T *mean, T *rstd) {                                                 \
        forward<T>(*s, x, scale, offset, T(eps), y, index, mean, rstd);                                                \
    }                                                                                                                  \
    extern "C" void backward_##NAME(const Shape *s, const T *x, const T *scale, const T *mean, const T *rstd,          \
                                    const uint8_t *index, const T *gy, T *gx, T *gscale, T *goffset) {                 \
        backward<T>(*s, x, scale, mean, rstd, index, gy, gx, gscale, goffset);                                         \
    }                                                                                                                  \
    extern "C" void double_backward_##NAME(const Shape *s, const T *x, const T *scale, const T *mean, const T *rstd,   \
                                           const uint8_t *index, const T *gy, const T *a, const T *cb, const T *cc,    \
                                           T *ggy, T *xx, T *gscale) {                                                 \
        double_backward<T>(*s, x, scale, mean, rstd, index, gy, a, cb, cc, ggy, xx, gscale);                           \
    }
EXPORT(float, float)
EXPORT(double, double)
