# syntax=docker/dockerfile:1
#
#   docker build -t metacl-run .                                 for the CPU
#   docker build -t metacl-run --build-arg TORCH_BUILD=cu130 .   for CUDA 13.0. The wheels bring CUDA; the host needs a driver
#
#   docker run --rm -v "$PWD/runs:/runs" -v "$PWD/data:/data:ro" metacl-run algo=maml data=split_omniglot    CUDA: add --gpus all
#
# TORCH_BUILD is a folder of download.pytorch.org/whl, as pytorch.org/get-started shows it: cpu, cu126, cu130.
ARG PYTHON=3.12

# The requirements, read from pyproject.toml. A change of anything else in that file leaves the layers of torch as they are.
FROM python:3.12-slim AS requirements
WORKDIR /build
COPY pyproject.toml .
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > all.txt \
    && grep -E '^torch(vision)?[<>=]' all.txt > torch.txt

FROM python:${PYTHON}-slim AS wheel
WORKDIR /build
RUN --mount=type=cache,target=/root/.cache/pip pip install "hatchling>=1.25"
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# The compiler builds the CPU kernels at the first run; torch.compile needs it as well.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
ARG TORCH_BUILD=cpu
COPY --from=requirements /build/torch.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --index-url "https://download.pytorch.org/whl/${TORCH_BUILD}" --requirement /build/torch.txt
COPY --from=requirements /build/all.txt /build/
RUN --mount=type=cache,target=/root/.cache/pip pip install --requirement /build/all.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-cache-dir --no-deps /wheels/*.whl

# Any user may run it: with docker run --user "$(id -u):$(id -g)" the files in /runs are your own. torch asks for a name of the user.
RUN useradd --uid 1000 metacl && mkdir -m 1777 /runs /data /cache
ENV METACL_RUNS=/runs METACL_DATA=/data METACL_CACHE=/cache WANDB_DIR=/runs HOME=/cache USER=metacl
USER 1000
WORKDIR /runs
ENTRYPOINT ["metacl-run"]
