"""How every aiohttp peer is served: one process (more than one may share a port), the default event loop as our own service has
it, no access log (it costs a quarter of the rate), and a garbage collector that does not walk what stays for ever."""

from __future__ import annotations

import gc

from aiohttp import web


def serve(application: web.Application, port: int) -> None:
    gc.freeze()
    web.run_app(
        application,
        host="127.0.0.1",
        port=port,
        reuse_port=True,
        access_log=None,
        print=None,
        keepalive_timeout=3600.0,
    )
