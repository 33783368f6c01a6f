# regrow on a plain Debian, with torch for the CPU. docs/install.md has the lines to build and run it.
# The hash of a release is the same inside and outside.
FROM debian:12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE /source/
COPY src /source/src
# pip would take the torch with CUDA, which is four times as large; uv knows where the one for the CPU is.
RUN python3 -m venv /opt/regrow \
    && /opt/regrow/bin/pip install --no-cache-dir uv \
    && VIRTUAL_ENV=/opt/regrow /opt/regrow/bin/uv pip install --no-cache --torch-backend cpu /source \
    && rm -rf /source

# Any user may run it: finished stages and compiled kernels are kept in /store, which a volume makes last.
ENV PATH=/opt/regrow/bin:$PATH XDG_CACHE_HOME=/store
RUN mkdir /store && chmod 1777 /store
WORKDIR /work
ENTRYPOINT ["regrow"]
