package org.openapitools.jackson.nullable;

import com.fasterxml.jackson.databind.module.SimpleModule;

/** As JsonNullable. */
public class JsonNullableModule extends SimpleModule {}
