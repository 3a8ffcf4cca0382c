"""The root module: what the application consists of."""

import os

from app.jobs.controller import JobsController
from app.orders.module import OrdersModule
from goose import Module
from goose_sql import SqlModule


class AppModule(Module):
    imports = (SqlModule(url=os.environ.get("DATABASE_URL", "sqlite:///orders.db")), OrdersModule)
    declarations = (JobsController,)
