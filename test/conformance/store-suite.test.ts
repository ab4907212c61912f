import { storeSuite } from "./store-suite.ts";
import { levelUnderTest, memoryUnderTest } from "./stores.ts";

storeSuite("memory", memoryUnderTest);
storeSuite("level", levelUnderTest);
