"""The orders example: an API that takes orders and works on them behind the request."""

import os

import goose
from app.module import AppModule
from app.orders.service import OrderNotFound
from goose import ApiPlatform, api
from goose_queues import QueuesModule

platform = ApiPlatform(
    port=int(os.environ.get("PORT", "8080")), name="orders", version="1.0.0", errors={OrderNotFound: 404}
)
queues_module = QueuesModule(workers={"orders": 2, "emails": 4})  # the jobs are where GOOSE_QUEUES_URL says

app = api(platform, AppModule, [queues_module])

if __name__ == "__main__":
    goose.start(app)
