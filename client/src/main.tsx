/** The entry point: renders the application. */
import '@fontsource-variable/inter/wght.css';
import './theme/tokens.css';
import './theme/base.css';
import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { queries } from './api/queries';
import { takeLinkSecret } from './session/setupLink';
import { followThemePreference } from './theme/theme';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
followThemePreference();
// Before anything else loads, so that the secret leaves the address bar at once.
if (window.location.pathname === '/setup') takeLinkSecret();
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
